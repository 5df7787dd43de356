"""``optreg info``: what is installed, what it runs on, what is in an image or a transform."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from optreg.cli.console import example, grid_text, new_parser, print_table, refuse_options
from optreg.cli.inputs import load_chosen
from optreg.errors import DeviceError, InputError

if TYPE_CHECKING:
    from optreg.transform import Affine, DisplacementField

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> argparse.ArgumentParser:
    parser = new_parser(
        commands,
        "info",
        "show versions, threads and devices, or what is in images and transforms",
        example("optreg info", "optreg info fixed.nii.gz moving.nii.gz result/disp.nii.gz"),
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="images, displacement fields, affine transforms"
    )
    parser.add_argument("--volume", type=int, metavar="N", help="volume of a 4-D file, from 0")
    return parser


def run(args: argparse.Namespace) -> int:
    if not args.files:
        refuse_options(args, ["--volume"], "without FILE")
        print_table(_machine(), numbers=False)
        return 0
    for number, path in enumerate(args.files):
        if number:
            print()
        print_table(_file(path, args.volume), numbers=False)
    return 0


def _machine() -> list[tuple[str, str]]:
    from optreg.kernels import describe_cache
    from optreg.report.numbers import versions

    return [
        *versions().items(),
        ("", ""),
        ("threads", _threads()),
        ("GPU", _gpu()),
        ("compiled code kept in", describe_cache()),
    ]


def _threads() -> str:
    import numba

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{numba.get_num_threads()} of {allowed} processors"


def _gpu() -> str:
    from optreg.kernels.gpu.device import describe

    try:
        return describe()
    except DeviceError as err:
        return f"not used ({str(err).partition(';')[0]})"


def _file(path: str, volume: int | None) -> list[tuple[str, str]]:
    """What is in an image, or else in a transform."""
    from optreg.io import read_transform
    from optreg.io.datasets import IMAGE_ENDINGS
    from optreg.transform import Affine

    image_error = None
    if path.lower().endswith(IMAGE_ENDINGS):
        try:
            return _image(path, volume)
        except InputError as error:
            image_error = error
    try:
        transform = read_transform(path)
    except InputError:
        if image_error is None:
            raise
        raise image_error from None
    return _affine(path, transform) if isinstance(transform, Affine) else _field(path, transform)


def _affine(path: str, affine: Affine) -> list[tuple[str, str]]:
    rows = [(path, ""), ("  transform", "affine, from fixed to moving RAS mm")]
    rows += [("", " ".join(f"{number:11.5f}" for number in row)) for row in affine.matrix]
    parts = affine.parts()
    rows.append(("  rotation about x y z, degrees", _three(parts.rotation_deg)))
    rows.append(("  scale x y z", _three(parts.scale)))
    rows.append(("  shear xy xz yz", _three(parts.shear)))
    rows.append(("  change of volume", f"{parts.volume:.4f}"))
    return rows


def _three(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)


def _field(path: str, field: DisplacementField) -> list[tuple[str, str]]:
    from optreg.cli.inputs import without_geometry
    from optreg.metrics.folding import count_folds

    length = np.sqrt(np.square(field.to_mm()).sum(axis=0))
    rows = [(path, ""), ("  transform", "displacement field")]
    if without_geometry(path, field.fixed_grid):
        shape = " x ".join(map(str, field.fixed_grid.shape))
        rows.append(("  from", f"{shape} voxels of an image that the file does not name"))
        unit = "voxels"
    else:
        rows.append(("  from", f"{grid_text(field.fixed_grid)}, {field.fixed_grid.orientation}"))
        unit = "mm"
    if field.moving_grid is not None:
        rows.append(("  to", f"{grid_text(field.moving_grid)}, {field.moving_grid.orientation}"))
    rows.append(
        (f"  displacement, {unit}", f"mean {length.mean():.2f}, largest {length.max():.2f}")
    )
    if min(field.disp.shape[1:]) > 2:
        rows.append(("  folded voxels", str(count_folds(field.disp).folded_voxels)))
    return rows


def _image(path: str, volume: int | None) -> list[tuple[str, str]]:
    # Shown, not refused: what is wrong with a file is what one asks this command for.
    image = load_chosen(path, volume, 0.0)
    data, grid = image.data, image.grid
    first, last = grid.bounds_mm
    rows = [
        (path, ""),
        ("  size", grid_text(grid)),
        ("  axes", grid.orientation),
        (
            "  field of view, mm",
            "  ".join(
                f"{name} {a:.1f} to {b:.1f}" for name, a, b in zip("xyz", first, last, strict=True)
            ),
        ),
        ("  data type", str(data.dtype)),
        ("  range", f"{data.min():g} to {data.max():g}, mean {data.mean(dtype=np.float64):.4g}"),
        ("  zero voxels", f"{np.mean(data == 0):.1%}"),
    ]
    if data.dtype.kind in "iu":
        rows.append(("  distinct values", str(np.unique(data).size)))
    return rows
