"""``optreg evaluate``: how good a displacement field is."""

from __future__ import annotations

import argparse
import logging
from typing import Any

from optreg.cli import evaluate_many
from optreg.cli.console import (
    example,
    new_parser,
    print_table,
    refuse_options,
    require_together,
    thread_count,
)
from optreg.cli.inputs import (
    add_dataset_options,
    landmark_pair,
    load_grid,
    without_geometry,
)
from optreg.cli.many import add_judging_options
from optreg.cli.outcome import metric_rows
from optreg.errors import ConfigError
from optreg.grid import Grid

__all__ = ["add_parser", "run"]

_log = logging.getLogger("optreg")

_OF_ONE = (
    "--inverse", "--fixed", "--moving", "--fixed-labels", "--moving-labels", "--fixed-landmarks",
    "--moving-landmarks",
)  # fmt: skip
_OF_MANY = ("--dataset", "--images", "--split", "--labels", "--landmarks", "--mask", "--jobs")

_TEXT = """\
Measures folding and smoothness, and with labels, landmarks or the inverse field also overlap,
surface distance, landmark error and inverse consistency: of one field, or with --fields of a whole
submission, as the organizers of the challenge do; --output is then a folder.

""" + example(
    "optreg evaluate --field result/disp.nii.gz --fixed fixed.nii.gz \\",
    "    --fixed-labels fixed_seg.nii.gz --moving-labels moving_seg.nii.gz --output metrics.json",
    "optreg evaluate --fields submission.zip --dataset evaluation_config.json \\",
    "    --labels labelsVal --landmarks landmarksVal --jobs 2 --output scores",
)


def add_parser(commands: Any) -> argparse.ArgumentParser:
    parser = new_parser(commands, "evaluate", "measure a displacement field", _TEXT)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--field", metavar="FIELD", help="field to judge")
    what.add_argument("--fields", metavar="DIR|ZIP", help="fields of a dataset to judge")
    parser.add_argument("--inverse", metavar="FIELD", help="its inverse, for inverse consistency")
    parser.add_argument(
        "--fixed", metavar="IMAGE", help="fixed image; folding is counted where it is above 0"
    )
    parser.add_argument("--moving", metavar="IMAGE", help="moving image, for the grid of landmarks")
    parser.add_argument("--fixed-labels", metavar="IMAGE", help="label map of the fixed image")
    parser.add_argument("--moving-labels", metavar="IMAGE", help="label map of the moving image")
    parser.add_argument(
        "--fixed-landmarks",
        metavar="FILE",
        help="points (.csv, .fcsv, .mrk.json), or label map with a blob each",
    )
    parser.add_argument("--moving-landmarks", metavar="FILE", help="their counterparts")
    parser.add_argument("--output", metavar="JSON|DIR", help="file, or folder, for all numbers")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    add_dataset_options(parser, required=False)
    many = add_judging_options(parser, "with --fields")
    many.add_argument("--jobs", type=thread_count, default=1, metavar="N", help="cases at a time")
    return parser


def run(args: argparse.Namespace) -> int:
    if args.fields:
        refuse_options(args, _OF_ONE, "with --fields")
        return evaluate_many.run(args)
    refuse_options(args, _OF_MANY, "with --field")
    if not args.moving_landmarks:
        refuse_options(args, ["--moving"], "without --moving-landmarks")
    if not args.fixed_labels:
        refuse_options(args, ["--hd95"], "without --fixed-labels")
    return _run_one(args)


def _run_one(args: argparse.Namespace) -> int:
    from optreg.io import load_image, read_field
    from optreg.io.files import check_writable, write_atomic
    from optreg.io.labels import load_labels, on_grid, require_overlap
    from optreg.io.tables import json_text
    from optreg.metrics import evaluate
    from optreg.transform import DisplacementField

    require_together(args.fixed_labels, args.moving_labels, "--fixed-labels and --moving-labels")
    require_together(
        args.fixed_landmarks, args.moving_landmarks, "--fixed-landmarks and --moving-landmarks"
    )
    if args.output:
        check_writable(args.output, args.overwrite)
    fixed = load_image(args.fixed, nan_to=0.0) if args.fixed else None
    fixed_labels = load_labels(args.fixed_labels) if args.fixed_labels else None
    known: Grid | None = next((i.grid for i in (fixed, fixed_labels) if i is not None), None)
    moving_grid = load_grid(args.moving) if args.moving else None
    field = read_field(args.field, known, moving_grid)
    grid = field.fixed_grid
    given: dict[str, Any] = {"hd95": args.hd95}
    if fixed is not None:
        given["fixed_mask"] = fixed.data > 0
    if fixed_labels is not None:
        given["fixed_labels"] = on_grid(fixed_labels, grid, "the field")
        moving_labels = load_labels(args.moving_labels)
        # Images that were aligned first may lie apart; then the field leads from one to the other.
        met = moving_labels.grid.overlaps(grid) or field.apply(moving_labels, "nearest").data.any()
        if not met:
            require_overlap(moving_labels, grid, "the field")
        given["moving_labels"] = moving_labels
    if args.fixed_landmarks:
        if known is None and without_geometry(args.field, grid):
            raise ConfigError(f"{args.field}: has no geometry; name the fixed image with --fixed")
        given["fixed_landmarks"], given["moving_landmarks"] = landmark_pair(
            args.fixed_landmarks, args.moving_landmarks, grid, field.moving_grid
        )
    if args.inverse:
        given["inverse"] = read_field(args.inverse, grid).disp
    metrics = evaluate(field, **given)
    start = {k: v for k, v in given.items() if k != "inverse"} | {"hd95": False}
    has_start = fixed_labels is not None or args.fixed_landmarks
    before = evaluate(DisplacementField.identity(grid), **start) if has_start else None
    if args.output:
        write_atomic(args.output, [json_text(metrics).encode()], args.overwrite)
    if not args.quiet:
        print_table(metric_rows(metrics, before), header=("", "before", "after"))
    return 0
