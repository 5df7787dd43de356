"""``optreg evaluate --fields``: all fields of a submission, with the organizers' aggregates."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optreg.cli.console import SOME_FAILED, pair_progress, print_table
from optreg.cli.inputs import dataset_of
from optreg.cli.outcome import json_text
from optreg.errors import ConfigError, InputError, OutputError

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    from optreg import batch
    from optreg.batch.scoring import Case, aggregate, organizers_layout, score
    from optreg.io.files import write_atomic
    from optreg.submission import names_in

    if not args.dataset:
        raise ConfigError("--fields needs --dataset: which field belongs to which images")
    dataset = dataset_of(args)
    source = Path(args.fields)
    missing = sorted({pair.file_name for pair in dataset.pairs} - names_in(source))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"{source}: holds no {missing[0]}{more}; every pair needs its field")
    for folder in (args.labels, args.landmarks):
        if folder is not None and not Path(folder).is_dir():
            raise InputError(f"{folder}: is no folder; name the one with a file for each image")
    labels, landmarks = (None if f is None else Path(f) for f in (args.labels, args.landmarks))
    output = _output(args.output, args.overwrite) if args.output else None
    cases = [
        Case(pair, source, labels, landmarks, dataset.labels, args.mask, args.hd95)
        for pair in dataset.pairs
    ]
    found: dict[str, dict[str, Any]] = {}
    where = batch.Local(args.jobs)
    with pair_progress(len(cases), 0, args.quiet) as ended:
        for numbers in batch.each(score, cases, where):
            found[numbers["name"]] = numbers
            ended({**numbers, "status": "failed" if "error" in numbers else "done"})
    scores = [found[pair.name] for pair in dataset.pairs]
    if output is not None:
        texts = {
            "metrics.json": json_text(organizers_layout(dataset, scores)),
            "cases.csv": _case_table(scores),
            "labels.csv": _label_table(scores),
        }
        for name, text in texts.items():
            write_atomic(output / name, [text.encode()], overwrite=True)
    if not args.quiet:
        _print(aggregate(scores), scores)
    return SOME_FAILED if any("error" in numbers for numbers in scores) else 0


def _output(path: str, overwrite: bool) -> Path:
    from optreg.io.files import make_folder

    folder = Path(path)
    if (folder / "metrics.json").exists() and not overwrite:
        raise OutputError(f"{folder}: holds metrics.json; use another folder or --overwrite")
    return make_folder(folder)


def _case_table(scores: Sequence[Mapping[str, Any]]) -> str:
    from optreg.metrics import METRICS

    shown = [m for m in METRICS if any(m in numbers for numbers in scores)]
    return _csv(["pair", "group", *shown], scores, lambda n: [[n.get(m) for m in shown]])


def _label_table(scores: Sequence[Mapping[str, Any]]) -> str:
    return _csv(
        ["pair", "group", "label", "dice", "hd95"],
        scores,
        lambda n: [[label, *values] for label, values in n.get("per_label", {}).items()],
    )


def _csv(header: list[str], scores: Sequence[Mapping[str, Any]], rows_of: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for numbers in scores:
        for row in rows_of(numbers):
            writer.writerow([numbers["name"], numbers["group"], *row])
    return text.getvalue()


def _print(summary: Mapping[str, Mapping[str, float]], scores: Sequence[Mapping[str, Any]]) -> None:
    from optreg.metrics import METRICS

    for numbers in scores:
        if "error" in numbers:
            print(f"failed: {numbers['name']}: {numbers['error']}")
    rows = [
        (what.title, *(what.text(summary[m][k]) for k in ("mean", "std", "30")), summary[m]["n"])
        for m, what in METRICS.items()
        if m in summary
    ]
    print_table(rows, header=("", "mean", "std", "worst 30 %", "cases"))
