"""``optreg submit``: every pair of a dataset, as a submission to the challenge."""

from __future__ import annotations

import argparse
from typing import Any

from optreg.cli.console import SOME_FAILED, example, new_parser, refuse_options
from optreg.cli.inputs import dataset_of
from optreg.cli.many import add_batch_options, register_all

__all__ = ["add_parser", "run"]

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
    add_batch_options(parser)
    parser.add_argument(
        "--fill-zero", action="store_true", help="zero fields for pairs that are not done"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    if args.backend == "dask":  # which has workers of its own
        refuse_options(args, ["--jobs"], "with --backend dask")
    _, well = register_all(args, dataset_of(args), fill_zero=args.fill_zero)
    return 0 if well else SOME_FAILED
