"""``optreg evaluate --fields``: all fields of a submission, with the organizers' aggregates."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optreg.cli.console import SOME_FAILED, print_table, refuse_options
from optreg.cli.inputs import dataset_of
from optreg.cli.many import judge_fields, print_failed
from optreg.errors import ConfigError, OutputError

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    if not args.dataset:
        raise ConfigError("--fields needs --dataset: which field belongs to which images")
    if not args.labels:
        refuse_options(args, ["--hd95"], "without --labels")
    output = Path(args.output) if args.output else None
    if output and (output / "metrics.json").exists() and not args.overwrite:
        raise OutputError(f"{output}: holds metrics.json; use another folder or --overwrite")
    scores = judge_fields(args, dataset_of(args), Path(args.fields), output)
    if not args.quiet:
        _print(scores)
    return SOME_FAILED if any("error" in numbers for numbers in scores) else 0


def _print(scores: Sequence[Mapping[str, Any]]) -> None:
    from optreg.batch.scores import aggregate
    from optreg.metrics import METRICS

    print_failed(scores)
    summary = aggregate(scores)
    rows = [
        (what.title, *(what.text(summary[m][k]) for k in ("mean", "std", "30")), summary[m]["n"])
        for m, what in METRICS.items()
        if m in summary
    ]
    print_table(rows, header=("", "mean", "std", "worst 30 %", "cases"))
