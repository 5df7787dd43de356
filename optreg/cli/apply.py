"""``optreg apply``: a displacement field to an image, a label map or points."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from optreg.cli.console import example, grid_text, new_parser, refuse_options
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

With --inverse, the way back: --fixed is warped onto the grid of the moving image, and --points are
points of the moving image. Images are called what they were called in the registration.

Fields of optreg say on which grids their two images are. For a field in voxels of another program,
which does not, name the image that it is on.

Where the moving image has no voxels, the warped one has its background: 0, or the lowest
intensity where there are negative ones, as in warped.nii.gz of a registration; with nearest and
label 0, or the smallest value of an image without 0.

""" + example(
    "optreg apply --field result/disp.nii.gz --moving moving_seg.nii.gz --output warped_seg.nii.gz",
    "optreg apply --field result/disp.nii.gz --inverse --fixed fixed_seg.nii.gz \\",
    "    --output seg_on_moving.nii.gz",
    "optreg apply --field result/disp.nii.gz --points fixed_points.csv --output moving_points.csv",
)


def add_parser(commands: Any) -> argparse.ArgumentParser:
    parser = new_parser(commands, "apply", "warp an image, a label map or points by a field", _TEXT)
    parser.add_argument("--field", required=True, metavar="FIELD", help="displacement field")
    parser.add_argument(
        "--inverse", action="store_true", help="from the moving to the fixed image instead"
    )
    parser.add_argument(
        "--moving", metavar="IMAGE", help="image to warp; with --inverse or --points: for its grid"
    )
    parser.add_argument(
        "--fixed", metavar="IMAGE", help="image with the grid to warp onto; with --inverse: to warp"
    )
    parser.add_argument(
        "--points",
        metavar="FILE",
        help="points of the fixed image (with --inverse: moving): .csv, .fcsv, .mrk.json",
    )
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

    if args.points:
        refuse_options(args, ["--interpolation", "--volume", "--nan-to"], "with --points")
    source, onto = ("fixed", "moving") if args.inverse else ("moving", "fixed")
    if not args.points and not getattr(args, source):
        raise ConfigError(f"nothing to apply the field to; give --{source} or --points")
    check_writable(args.output, args.overwrite)
    path = getattr(args, onto)
    grid = load_grid(path) if path else None
    return (_points if args.points else _image)(args, getattr(args, source), grid)


def _image(args: argparse.Namespace, path: str, onto: Grid | None) -> int:
    """Warp the image at `path` onto a grid, or that of which the field knows."""
    from optreg.io import read_field, save_image

    image = load_chosen(path, args.volume, args.nan_to)
    if args.inverse:
        field = _way_back(args, image.grid, onto)
    else:
        field = read_field(args.field, onto, image.grid)
        if onto is None and without_geometry(args.field, field.fixed_grid):
            field = _on_grid_of(image, field, args)
    _check_place(image, field, args)
    fill = _background(image.data, args.interpolation)
    warped = field.apply(image, args.interpolation, fill)
    save_image(args.output, warped.data, warped.grid, overwrite=args.overwrite)
    if not args.quiet:
        print(f"{args.output}: {grid_text(warped.grid)}")
    return 0


def _way_back(
    args: argparse.Namespace, fixed: Grid | None, moving: Grid | None
) -> DisplacementField:
    """Field from the moving to the fixed image, on the grid of the moving one.

    `fixed` is taken for the grid of a field that does not say on which it is.
    """
    from optreg.io import read_transform
    from optreg.io.fields import grids_of_file
    from optreg.transform import Affine, invert_onto

    transform = read_transform(args.field, fixed, moving)
    if moving is None:
        said = grids_of_file(args.field)
        if said is None:
            raise ConfigError(
                f"{args.field}: does not say what grid it leads to; name the moving image with "
                "--moving"
            )
        moving = said[1]
    if isinstance(transform, Affine):
        return transform.invert().to_displacement(moving, fixed)
    return invert_onto(transform, moving)


def _check_place(image: Image, field: DisplacementField, args: argparse.Namespace) -> None:
    """Refuse an image that the field does not lead to, and say where it looks like the other one.

    Raises
    ------
    GeometryError
        It lies elsewhere.
    """
    from optreg.io.labels import require_overlap

    here, there = field.fixed_grid, field.source_grid
    require_overlap(image, there, f"the image that {args.field} leads to")
    if image.grid.same_as(there) or not image.grid.same_as(here):
        return
    other = "without --inverse" if args.inverse else "with --inverse"
    _log.warning(
        "%s: is on the grid from which %s leads, not on that to which it leads; for the other "
        "way, apply the field %s",
        image.name,
        args.field,
        other,
    )


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
    if not isinstance(again, DisplacementField) or without_geometry(args.field, again.fixed_grid):
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


def _points(args: argparse.Namespace, path: str | None, onto: Grid | None) -> int:
    from optreg.io import Landmarks, read_field, read_landmarks, write_landmarks

    source = load_grid(path) if path else None
    back = args.inverse
    field = _way_back(args, source, onto) if back else read_field(args.field, onto, source)
    if onto is None and without_geometry(args.field, field.fixed_grid):
        raise ConfigError(f"{args.field}: has no geometry; name the fixed image with --fixed")
    points = read_landmarks(args.points, field.fixed_grid)
    mm = field.to_points_mm(points.mm)
    moved = Landmarks(points.names, (source or field.source_grid).world_to_voxel(mm), mm)
    write_landmarks(args.output, moved, overwrite=args.overwrite)
    if not args.quiet:
        shift = np.sqrt(((mm - points.mm) ** 2).sum(axis=1))
        print(f"{args.output}: {len(mm)} points, moved by {shift.mean():.2f} mm on average")
    return 0
