"""What the commands share that register or judge all pairs of a dataset."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optreg.cli.console import pair_progress, thread_count
from optreg.cli.inputs import add_dataset_options, add_engine_options, config_of
from optreg.errors import ConfigError

if TYPE_CHECKING:
    from optreg.batch import BatchFolder
    from optreg.io.datasets import Dataset

__all__ = [
    "add_batch_options",
    "add_judging_options",
    "judge_fields",
    "print_failed",
    "register_all",
]


_REFRESH_S = 30
"""Time after which the page of a batch is written anew."""


def add_batch_options(parser: argparse.ArgumentParser, dataset: bool = True) -> None:
    """Options of a command that registers all pairs of a dataset, which they name if `dataset`."""
    if dataset:
        add_dataset_options(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the results")
    where = parser.add_argument_group("where it runs")
    where.add_argument(
        "--jobs", type=thread_count, default=1, metavar="N", help="pairs at a time (without: 1)"
    )
    where.add_argument("--shard", type=_shard, metavar="K/N", help="only every N-th pair, from K")
    where.add_argument("--backend", choices=("loky", "dask"), default="loky")
    where.add_argument("--scheduler", metavar="ADDRESS", help="of dask, as tcp://10.0.0.1:8786")
    add_engine_options(parser)


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    part, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= part <= count:
        raise argparse.ArgumentTypeError(f"'{text}' is not K/N with K from 1 to N")
    return part, count


def register_all(
    args: argparse.Namespace,
    dataset: Dataset,
    *,
    init: Path | None = None,
    fill_zero: bool = False,
    outputs: tuple[str, ...] | None = None,
) -> tuple[BatchFolder, bool]:
    """Register what is left of a dataset; the folder of the results, and whether all went well.

    Parameters
    ----------
    init : Path, optional
        Folder or zip with the fields to start from.
    fill_zero : bool
        Whether pairs that are not done get zero fields.
    outputs : tuple of str, optional
        What to write of each pair; a submission without it.
    """
    from optreg import batch
    from optreg.config import RegistrationConfig
    from optreg.kernels import get_backend

    config = config_of(args)
    if args.similarity:
        config = RegistrationConfig.from_dict({**config.to_dict(), "similarity": args.similarity})
    if (args.backend == "dask") != (args.scheduler is not None):
        raise ConfigError("--backend dask and --scheduler go together; give both or none")
    where = batch.Cluster(args.scheduler) if args.scheduler else batch.Local(args.jobs)
    compile_kernels = None
    if not args.scheduler:
        backend = get_backend(args.device)  # a device that is not there ends it here
        if args.jobs > 1:  # each process would compile them for itself
            compile_kernels = backend.compile_ahead()
    if init is not None and any(pair.init is not None for pair in dataset.pairs):
        raise ConfigError("--init and a column 'init' exclude each other; give one")
    folder = batch.BatchFolder(Path(args.output), outputs)
    settings = {
        "init": init and init.resolve(),
        "device": args.device,
        "threads": args.threads or where.threads(),
    }
    jobs = folder.jobs(dataset, config, args.shard, **settings)
    left = folder.prepare(jobs, config)
    failed, shown = [], time.monotonic()
    with pair_progress(len(jobs), len(jobs) - len(left), args.quiet) as ended:
        if left and compile_kernels is not None:
            compile_kernels()
        for record in batch.run_all(left, where):
            ended(record)
            if record["status"] != "done":
                failed.append(record)
            if outputs is not None and time.monotonic() - shown > _REFRESH_S:
                folder.write_index(dataset)
                shown = time.monotonic()
    summary = folder.summarize(jobs, left, failed, args.shard)
    if outputs is not None:
        result = folder.write_index(dataset)
    else:
        every = folder.jobs(dataset, config, **settings)
        result = folder.pack(dataset, every, fill_zero) or folder.fields
    if not args.quiet:
        _print(summary, result)
    return folder, not failed and not summary["missing"]


def print_failed(scores: Sequence[Mapping[str, Any]], of: str = "") -> None:
    """Say once why each pair failed that has an ``error``; `of` is put before its name."""
    for name, error in dict.fromkeys((n["name"], n["error"]) for n in scores if "error" in n):
        print(f"failed: {of}{name}: {error}")


def _print(summary: dict[str, Any], where: Path) -> None:
    print_failed([{"name": n, "error": error} for n, error in summary["failed"].items()])
    before = f" ({summary['done_before']} before)" if summary["done_before"] else ""
    count = len(summary["failed"])
    for name, missing in summary["missing"].items():
        print(f"missing: {name}: {', '.join(missing)}")
    print(f"{summary['done']} of {summary['pairs']} pairs done{before}, {count} failed")
    print(f"results in {where}")


def add_judging_options(parser: argparse.ArgumentParser, title: str) -> Any:
    """Options that say what fields are judged by; the group of those for many fields."""
    parser.add_argument(
        "--hd95",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="surface distance, the slowest of the metrics",
    )
    group = parser.add_argument_group(title)
    group.add_argument("--labels", metavar="DIR", help="label maps, named as the images")
    group.add_argument("--landmarks", metavar="DIR", help="their landmarks, label maps or CSV")
    group.add_argument(
        "--mask",
        choices=("fixed", "moving"),
        default="fixed",
        help="image above 0 where folding counts: fixed in LUMIR 2025, moving in 2024",
    )
    return group


def judge_fields(
    args: argparse.Namespace,
    dataset: Dataset,
    fields: Path,
    output: Path | None,
    similarity: bool = False,
) -> list[dict[str, Any]]:
    """Scores of the fields of a dataset, written to a folder where one is given.

    Parameters
    ----------
    fields : Path
        Folder or zip.
    similarity : bool
        Whether to compare the images themselves too.
    """
    from optreg.batch.scores import cases_of, score_all, write_scores
    from optreg.io.files import make_folder
    from optreg.submission import require_fields

    require_fields(fields, dataset)
    labels, landmarks = (None if f is None else Path(f) for f in (args.labels, args.landmarks))
    settings = {"mask": args.mask, "hd95": args.hd95, "similarity": similarity}
    cases = cases_of(dataset, fields, labels, landmarks, **settings)
    if output is not None:
        make_folder(output)
    with pair_progress(len(cases), 0, args.quiet) as ended:
        scores = score_all(cases, args.jobs, ended)
    if output is not None:
        write_scores(output, dataset, fields, scores)
    return scores
