"""``optreg check-submission``: what is wrong with a submission, anybody's."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from optreg.cli.console import example, new_parser
from optreg.cli.inputs import add_dataset_options, dataset_of
from optreg.errors import InputError

__all__ = ["add_parser", "run"]

_TEXT = """\
Says everything that is wrong: pairs that are missing, names that belong to none, other shapes or
types, NaN, folded fields, files in the wrong place of the archive. The exit code is then 3.

""" + example(
    "optreg check-submission submission.zip --dataset LUMIR25_dataset.json",
)


def add_parser(commands: Any) -> argparse.ArgumentParser:
    parser = new_parser(commands, "check-submission", "check a submission", _TEXT)
    parser.add_argument("submission", metavar="ZIP", help="the archive, or the folder in it")
    add_dataset_options(parser)
    parser.add_argument(
        "--allow-folds", action="store_true", help="folded fields are no finding: they cost points"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    from optreg.submission import check_submission

    dataset = dataset_of(args)
    findings = check_submission(Path(args.submission), dataset, allow_folds=args.allow_folds)
    for finding in findings:
        print(finding)
    if findings:
        raise InputError(f"{args.submission}: {len(findings)} findings, no valid submission")
    if not args.quiet:
        print(f"valid: {len(dataset.pairs)} fields")
    return 0
