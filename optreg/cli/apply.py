"""``optreg apply``: a displacement field to an image, a label map or points."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from optreg.cli.console import example, grid_text, new_parser
from optreg.cli.inputs import load_chosen, load_grid, without_geometry
from optreg.errors import ConfigError, InputError
from optreg.grid import Grid

__all__ = ["add_parser", "run"]

_TEXT = """\
With --moving: warps an image onto the fixed grid. With --points: where in the moving image the
points of the fixed image are (columns name, i_vox, j_vox, k_vox and x_mm, y_mm, z_mm).
A field in voxels (challenge format) says nothing of its grid: name the image with --fixed.

""" + example(
    "optreg apply --field result/disp.nii.gz --fixed fixed.nii.gz \\",
    "    --moving moving_seg.nii.gz --interpolation label --output warped_seg.nii.gz",
    "optreg apply --field result/disp.nii.gz --fixed fixed.nii.gz \\",
    "    --points fixed_points.csv --output moving_points.csv",
)


def add_parser(commands: Any) -> argparse.ArgumentParser:
    parser = new_parser(commands, "apply", "warp an image, a label map or points by a field", _TEXT)
    parser.add_argument("--field", required=True, metavar="FIELD", help="displacement field")
    parser.add_argument("--moving", metavar="IMAGE", help="image to warp; with --points: its grid")
    parser.add_argument(
        "--points", metavar="FILE", help="points of the fixed image: .csv, .fcsv, .mrk.json"
    )
    parser.add_argument("--fixed", metavar="IMAGE", help="image whose grid the field is on")
    parser.add_argument("--output", required=True, metavar="FILE", help="image or table to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument(
        "--interpolation",
        choices=("linear", "nearest", "label"),
        default="linear",
        help="label: smooth borders of label maps (without: linear)",
    )
    parser.add_argument("--volume", type=int, metavar="N", help="volume of a 4-D image, from 0")
    parser.add_argument(
        "--nan-to", type=float, metavar="VALUE", help="replace NaN and infinite voxels"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    from optreg.io.files import check_writable

    if not args.moving and not args.points:
        raise ConfigError("nothing to apply the field to; give --moving or --points")
    check_writable(args.output, args.overwrite)
    fixed = load_grid(args.fixed) if args.fixed else None
    return (_points if args.points else _image)(args, fixed)


def _image(args: argparse.Namespace, fixed: Grid | None) -> int:
    from optreg.io import read_field, save_image
    from optreg.transform import DisplacementField

    moving = load_chosen(args.moving, args.volume, args.nan_to)
    field = read_field(args.field, fixed)
    if fixed is None and without_geometry(field.fixed_grid):
        # In the challenge both images are on one grid, which the field file does not repeat.
        if field.fixed_grid.shape != moving.grid.shape:
            raise InputError(
                f"{args.field}: has no geometry and another shape than {args.moving}; name the "
                "image it belongs to with --fixed"
            )
        field = DisplacementField(field.disp, moving.grid)
    warped = field.apply(moving, args.interpolation)
    save_image(args.output, warped.data, warped.grid, overwrite=args.overwrite)
    if not args.quiet:
        print(f"{args.output}: {grid_text(warped.grid)}")
    return 0


def _points(args: argparse.Namespace, fixed: Grid | None) -> int:
    from optreg.io import Landmarks, read_field, read_landmarks, write_landmarks

    field = read_field(args.field, fixed)
    if fixed is None and without_geometry(field.fixed_grid):
        raise ConfigError(f"{args.field}: has no geometry; name the fixed image with --fixed")
    points = read_landmarks(args.points, field.fixed_grid)
    mm = field.to_points_mm(points.mm)
    grid = load_grid(args.moving) if args.moving else field.fixed_grid
    moved = Landmarks(points.names, grid.world_to_voxel(mm), mm)
    write_landmarks(args.output, moved, overwrite=args.overwrite)
    if not args.quiet:
        shift = np.sqrt(((mm - points.mm) ** 2).sum(axis=1))
        print(f"{args.output}: {len(mm)} points, moved by {shift.mean():.2f} mm on average")
    return 0
