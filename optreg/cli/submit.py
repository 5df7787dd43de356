"""``optreg submit``: every pair of a dataset, as a submission to the challenge."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from optreg.cli.console import SOME_FAILED, example, new_parser, pair_progress, thread_count
from optreg.cli.inputs import add_dataset_options, add_engine_options, config_of, dataset_of
from optreg.cli.outcome import json_text
from optreg.errors import ConfigError

__all__ = ["add_parser", "run"]

_FIELDS, _RECORDS, _ZIP = "submission", "records", "submission.zip"

_TEXT = """\
Registers every pair and writes into the output folder: submission/disp_FFFF_MMMM.nii.gz (voxels,
challenge format), records/ with a JSON file a pair, config.toml, summary.json and, when all pairs
are there, submission.zip. Stop it at any time and run it again: what is complete and was made from
the same files with the same settings is kept. One pair that fails does not stop the others; the
exit code is then 5.

""" + example(
    "optreg submit --dataset LUMIR25_dataset.json --output out --preset accurate",
    "optreg submit --dataset pairs.csv --images DIR --output out --jobs 4 --shard 3/20",
    "optreg submit --dataset D.json --output out --backend dask --scheduler tcp://10.0.0.1:8786",
)


def add_parser(commands: Any) -> argparse.ArgumentParser:
    parser = new_parser(commands, "submit", "make a submission from a dataset", _TEXT)
    add_dataset_options(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--init", metavar="DIR", help="start from the fields of another submission, by name"
    )
    parser.add_argument(
        "--fill-zero", action="store_true", help="zero fields for pairs that are not done"
    )
    where = parser.add_argument_group("where it runs")
    where.add_argument(
        "--jobs", type=thread_count, default=1, metavar="N", help="pairs at a time (without: 1)"
    )
    where.add_argument("--shard", type=_shard, metavar="K/N", help="only every N-th pair, from K")
    where.add_argument("--backend", choices=("loky", "dask"), default="loky")
    where.add_argument("--scheduler", metavar="ADDRESS", help="of dask, as tcp://10.0.0.1:8786")
    add_engine_options(parser)
    return parser


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    part, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= part <= count:
        raise argparse.ArgumentTypeError(f"'{text}' is not K/N with K from 1 to N")
    return part, count


def run(args: argparse.Namespace) -> int:
    from optreg import batch
    from optreg.config import RegistrationConfig
    from optreg.io.files import make_folder, write_atomic
    from optreg.kernels import get_backend

    config = config_of(args)
    if args.similarity:
        config = RegistrationConfig.from_dict({**config.to_dict(), "similarity": args.similarity})
    if (args.backend == "dask") != (args.scheduler is not None):
        raise ConfigError("--backend dask and --scheduler go together; give both or none")
    where = batch.Cluster(args.scheduler) if args.scheduler else batch.Local(args.jobs)
    if not args.scheduler:
        get_backend(args.device)  # a device that is not there ends it here
    dataset = dataset_of(args)
    folder = Path(args.output)
    fields = make_folder(folder / _FIELDS)
    threads = args.threads or where.threads()
    jobs = [
        batch.Job(
            pair,
            fields.resolve(),
            (folder / _RECORDS).resolve(),
            config,
            _start(args.init, pair.file_name),
            args.device,
            threads,
        )
        for pair in dataset.pairs
    ]
    if args.shard:
        jobs = jobs[args.shard[0] - 1 :: args.shard[1]]
    batch.Records(folder / _RECORDS)
    batch.discard_leftovers(fields, {job.pair.file_name for job in jobs})
    batch.discard_leftovers(folder / _RECORDS, {f"{job.pair.name}.json" for job in jobs})
    write_atomic(folder / "config.toml", [config.to_toml().encode()], overwrite=True)

    left = [job for job in jobs if not batch.done_before(job)]
    records: dict[str, dict[str, Any]] = {}
    with pair_progress(len(jobs), len(jobs) - len(left), args.quiet) as ended:
        for record in batch.run_all(left, batch.register_pair, where):
            records[record["name"]] = record
            ended(record)
    failed = [r for r in records.values() if r["status"] != "done"]
    summary = _summary(jobs, left, failed)
    name = "summary.json" if not args.shard else "summary-{}-of-{}.json".format(*args.shard)
    write_atomic(folder / name, [json_text(summary).encode()], overwrite=True)
    packed = _pack(dataset, folder, fields, args.fill_zero)
    if not args.quiet:
        _print(summary, failed, packed or fields)
    return SOME_FAILED if failed else 0


def _start(folder: str | None, name: str) -> Path | None:
    if folder is None:
        return None
    path = Path(folder) / name
    if not path.is_file():
        raise ConfigError(f"{path}: no such field; --init needs one for every pair")
    return path.resolve()


def _summary(jobs: list[Any], left: list[Any], failed: list[dict[str, Any]]) -> dict[str, Any]:
    from optreg.batch import Records

    done = [Records(job.records).read(job.pair.name) for job in jobs]
    done = [record for record in done if record.get("status") == "done"]
    return {
        "pairs": len(jobs),
        "done": len(done),
        "done_before": len(jobs) - len(left),
        "failed": {record["name"]: record["error"] for record in failed},
        "seconds": sum(record["seconds"] for record in done),
        "folded_voxels": sum(record["quality"]["folded_voxels"] for record in done),
    }


def _pack(dataset: Any, folder: Path, fields: Path, fill: bool) -> Path | None:
    """The zip, if there is a field for every pair."""
    from optreg import submission

    names = [pair.file_name for pair in dataset.pairs]
    if fill:
        submission.fill_with_zeros(dataset, fields)
    if not all((fields / name).is_file() for name in names):
        return None
    submission.pack(fields, names, folder / _ZIP, overwrite=True)
    return folder / _ZIP


def _print(summary: dict[str, Any], failed: list[dict[str, Any]], where: Path) -> None:
    for record in failed:
        print(f"failed: {record['name']}: {record['error']}")
    before = f" ({summary['done_before']} before)" if summary["done_before"] else ""
    print(f"{summary['done']} of {summary['pairs']} pairs done{before}, {len(failed)} failed")
    print(f"results in {where}")
