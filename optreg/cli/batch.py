"""``optreg batch``: any pairs, each with all that ``optreg register`` writes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optreg.cli.console import SOME_FAILED, example, new_parser
from optreg.cli.inputs import add_output_options, outputs_of, told_problems
from optreg.cli.many import add_batch_options, register_all
from optreg.cli.outcome import pictures_wanted
from optreg.errors import ConfigError

if TYPE_CHECKING:
    from optreg.io.datasets import Dataset

__all__ = ["add_parser", "run"]

_TEXT = """\
PAIRS is a table (CSV) with the columns fixed and moving, and where wanted name, group, fixed_mask,
moving_mask, weights, init (a transform, or affine, rigid, none, ...), fixed_labels and
moving_labels; files are relative to its folder. Or PAIRS is a BIDS dataset: with --to, every image
of it onto that one; without, every image of a subject onto its first T1w image.

Writes into the output folder: pairs/NAME/ with the field of each pair, what --outputs names, and
metrics.json; records/ with a JSON file a pair; config.toml; summary.json; and index.html, a table
of all pairs with pictures, numbers and links, worst first. Stop it at any time and run it again:
what is complete and was made from the same files with the same settings is kept. One pair that
fails does not stop the others; the exit code is then 5.

""" + example(
    "optreg batch pairs.csv --output out --jobs 4",
    "optreg batch pairs.csv --output out --outputs warped jacobian --preset fast --shard 3/20",
    "optreg batch my-bids-dataset --to template.nii.gz --suffix T1w --output out",
)


def add_parser(commands: Any) -> argparse.ArgumentParser:
    parser = new_parser(commands, "batch", "register many pairs, with everything of each", _TEXT)
    parser.add_argument("pairs", metavar="PAIRS", help="table of pairs (.csv), or a BIDS dataset")
    bids = parser.add_argument_group("of a BIDS dataset")
    bids.add_argument("--to", metavar="IMAGE", help="image that all others are registered to")
    bids.add_argument("--suffix", metavar="NAME", help="only images with this suffix, such as T1w")
    add_batch_options(parser, dataset=False)
    group = parser.add_argument_group("results")
    add_output_options(group)
    return parser


def run(args: argparse.Namespace) -> int:
    dataset = _dataset(args)
    outputs = outputs_of(args, any(pair.moving_labels for pair in dataset.pairs))
    if "report" in outputs and not pictures_wanted(None):
        outputs.discard("report")
    _, well = register_all(args, dataset, outputs=tuple(sorted(outputs)))
    return 0 if well else SOME_FAILED


def _dataset(args: argparse.Namespace) -> Dataset:
    from optreg.io.bids import pairs_of_dataset
    from optreg.io.datasets import read_dataset

    source = Path(args.pairs)
    if source.is_dir():
        return pairs_of_dataset(source, args.to and Path(args.to), args.suffix)
    for option in ("to", "suffix"):
        if getattr(args, option):
            raise ConfigError(f"--{option} goes with a BIDS dataset, {source} is a table")
    with told_problems(args.pairs):
        return read_dataset(source, anywhere=True)
