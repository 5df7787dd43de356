"""``optreg refine``: the fields of another method, refined pair by pair, and what that gained."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from optreg.cli.console import SOME_FAILED, example, new_parser, print_table, refuse_options
from optreg.cli.inputs import dataset_of
from optreg.cli.many import (
    add_batch_options,
    add_judging_options,
    judge_fields,
    print_failed,
    register_all,
)
from optreg.cli.outcome import print_missing

__all__ = ["add_parser", "run"]

_TEXT = """\
Starts from the fields of a submission (a network's, say), one for every pair of the dataset,
refines each and writes what 'optreg submit' writes, resumable in the same way. Then both are
judged: scores/before and scores/after have the numbers, comparison.html has them side by side.
Without labels these are the similarity of the images, folding and roughness.

""" + example(
    "optreg refine --init network.zip --dataset LUMIR25_dataset.json --output refined",
    "optreg refine --init network --dataset evaluation_config.json --labels labelsVal \\",
    "    --output refined --jobs 2",
)


def add_parser(commands: Any) -> argparse.ArgumentParser:
    parser = new_parser(commands, "refine", "refine the fields of another method", _TEXT)
    parser.add_argument("--init", required=True, metavar="DIR|ZIP", help="fields to start from")
    add_batch_options(parser)
    add_judging_options(parser, "what the gain is measured by")
    return parser


def run(args: argparse.Namespace) -> int:
    from optreg.batch.scores import aggregate
    from optreg.compare import Comparison, read_scores
    from optreg.io.files import write_atomic
    from optreg.report import comparison as report
    from optreg.report.outcome import Attempts
    from optreg.submission import require_fields

    if not args.labels:
        refuse_options(args, ["--hd95"], "without --labels")
    dataset, init = dataset_of(args), Path(args.init)
    require_fields(init, dataset)
    folder, well = register_all(args, dataset, init=init)
    done = tuple(p for p in dataset.pairs if (folder.fields / p.file_name).is_file())
    if not done:
        return SOME_FAILED
    judged = replace(dataset, pairs=done)
    before, after = (
        judge_fields(args, judged, fields, folder.path / "scores" / name, similarity=True)
        for fields, name in ((init, "before"), (folder.fields, "after"))
    )
    if not args.quiet:
        # Labels that cannot be read fail before and after, for one reason.
        print_failed([*before, *after])
    found = Comparison(
        tuple(read_scores(n, folder.path / "scores" / n) for n in ("after", "before"))
    )
    attempts = Attempts()
    with attempts("comparison.html"):
        page = report.page(found, "What the refinement gained", attempts)
        write_atomic(folder.path / "comparison.html", [page.encode()], overwrite=True)
    if not args.quiet:
        _print(aggregate(before), aggregate(after), len(done))
        print(f"comparison in {folder.path / 'comparison.html'}")
        print_missing(attempts.failed)
    failed = any("error" in numbers for numbers in (*before, *after))
    return 0 if well and not failed and not attempts.failed else SOME_FAILED


def _print(before: dict[str, Any], after: dict[str, Any], count: int) -> None:
    from optreg.metrics import METRICS

    rows = []
    for metric, what in METRICS.items():
        if metric in before and metric in after:
            start, end = before[metric]["mean"], after[metric]["mean"]
            rows.append((what.title, what.text(start), what.text(end), f"{end - start:+.4f}"))
    print_table(rows, header=(f"mean of {count} pairs", "before", "after", "gain"))
