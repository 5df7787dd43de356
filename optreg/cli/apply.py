"""``optreg apply``: a displacement field to an image, a label map or points."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from optreg.cli.console import example, grid_text, new_parser
from optreg.cli.inputs import load_chosen, load_grid, without_geometry
from optreg.errors import ConfigError, InputError
from optreg.grid import Grid

if TYPE_CHECKING:
    from optreg.image import Image
    from optreg.transform import DisplacementField

__all__ = ["add_parser", "run"]

_log = logging.getLogger("optreg")

_TEXT = """\
With --moving: warps an image onto the fixed grid. With --points: where in the moving image the
points of the fixed image are (columns name, i_vox, j_vox, k_vox and x_mm, y_mm, z_mm).
A field in voxels (challenge format) says nothing of its grid: name the image with --fixed.

Where the moving image has no voxels, the warped one has its background: 0, or the lowest
intensity where there are negative ones, as in warped.nii.gz of a registration; with nearest and
label 0, or the smallest value of an image without 0.

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
        choices=("auto", "linear", "nearest", "label"),
        default="auto",
        help="label: smooth borders of label maps (without: auto, which is label for what looks "
        "like a label map, else linear)",
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

    moving = load_chosen(args.moving, args.volume, args.nan_to)
    field = read_field(args.field, fixed, moving.grid)
    if fixed is None and without_geometry(field.fixed_grid):
        field = _on_grid_of(moving, field, args)
    fill = _background(moving.data, args.interpolation)
    warped = field.apply(moving, args.interpolation, fill)
    save_image(args.output, warped.data, warped.grid, overwrite=args.overwrite)
    if not args.quiet:
        print(f"{args.output}: {grid_text(warped.grid)}")
    return 0


def _on_grid_of(
    moving: Image, field: DisplacementField, args: argparse.Namespace
) -> DisplacementField:
    """`field`, which is on a grid that says nothing, on that of the moving image.

    In the challenge both images are on one grid, which the file of the field does not repeat.
    """
    from optreg.io import read_transform
    from optreg.transform import DisplacementField

    if field.fixed_grid.shape != moving.grid.shape:
        raise InputError(
            f"{args.field}: has no geometry and another shape than {args.moving}; name the "
            "image it belongs to with --fixed"
        )
    # A file that states the very grid that says nothing, as one in mm may, keeps it.
    again = read_transform(args.field, moving.grid, moving.grid)
    if not isinstance(again, DisplacementField) or without_geometry(again.fixed_grid):
        return field
    _log.warning(
        "%s: has no geometry and is taken to be on the grid of %s; name the fixed image with "
        "--fixed if its grid is another one",
        args.field,
        args.moving,
    )
    return again


def _background(data: np.ndarray, interpolation: str) -> float:
    """What a warped image has where the moving one ends."""
    from optreg.intensities import find_intensities, looks_like_labels

    if interpolation == "linear" or (interpolation == "auto" and not looks_like_labels(data)):
        return find_intensities(data, sparse=True).base
    lowest: float = data.min().item()  # of the type of the labels
    return lowest if data.all() else 0


def _points(args: argparse.Namespace, fixed: Grid | None) -> int:
    from optreg.io import Landmarks, read_field, read_landmarks, write_landmarks

    moving = load_grid(args.moving) if args.moving else None
    field = read_field(args.field, fixed, moving)
    if fixed is None and without_geometry(field.fixed_grid):
        raise ConfigError(f"{args.field}: has no geometry; name the fixed image with --fixed")
    points = read_landmarks(args.points, field.fixed_grid)
    mm = field.to_points_mm(points.mm)
    grid = moving or field.fixed_grid
    moved = Landmarks(points.names, grid.world_to_voxel(mm), mm)
    write_landmarks(args.output, moved, overwrite=args.overwrite)
    if not args.quiet:
        shift = np.sqrt(((mm - points.mm) ** 2).sum(axis=1))
        print(f"{args.output}: {len(mm)} points, moved by {shift.mean():.2f} mm on average")
    return 0
