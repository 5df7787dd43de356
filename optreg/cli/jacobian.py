"""``optreg jacobian``: local change of volume, as a map and for each label."""

from __future__ import annotations

import argparse
import logging
import os
from typing import Any

import numpy as np

from optreg.cli.console import example, new_parser, print_table
from optreg.cli.inputs import load_grid
from optreg.errors import ConfigError, InputError
from optreg.image import Image

__all__ = ["add_parser", "run"]

_log = logging.getLogger("optreg")

_COLUMNS = ("label", "voxels", "fixed_mm3", "moving_mm3", "change_percent", "mean_log", "folded")
_TEXT = """\
Writes the natural logarithm of the Jacobian determinant of the map from the fixed to the moving
image, by central differences: 0 is no change, above 0 the place is larger in the moving image.
Folded voxels have no logarithm: they are counted, and are log(1e-9) = -20.7 in the map.

With --labels, a label map of the fixed image, also the volume of each label in both images: in
the moving one it is the sum of the determinants in it. The table has the columns label, voxels,
fixed_mm3, moving_mm3, change_percent, mean_log and folded (voxels).

""" + example(
    "optreg jacobian --field result/disp.nii.gz --fixed fixed.nii.gz --output logjac.nii.gz",
    "optreg jacobian --field result/disp.nii.gz --fixed fixed.nii.gz --output logjac.nii.gz \\",
    "    --labels fixed_seg.nii.gz --table volumes.csv",
)


def add_parser(commands: Any) -> argparse.ArgumentParser:
    parser = new_parser(commands, "jacobian", "map the local change of volume", _TEXT)
    parser.add_argument("--field", required=True, metavar="FIELD", help="displacement field")
    parser.add_argument("--fixed", required=True, metavar="IMAGE", help="fixed image, for its grid")
    parser.add_argument("--output", required=True, metavar="IMAGE", help="map to write, .nii.gz")
    parser.add_argument("--labels", metavar="IMAGE", help="label map of the fixed image")
    parser.add_argument("--table", metavar="CSV", help="table of its labels to write")
    parser.add_argument(
        "--without-affine",
        metavar="FILE",
        help="leave out the change of volume of this affine (affine.tfm of a result), which the "
        "field contains",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    return parser


def run(args: argparse.Namespace) -> int:
    from optreg.io import read_field, save_image
    from optreg.io.files import check_writable, write_atomic
    from optreg.io.labels import load_labels, on_grid
    from optreg.io.tables import csv_text
    from optreg.metrics.folding import log_determinant

    if args.table and not args.labels:
        raise ConfigError("--table is of labels; name their image with --labels")
    if args.labels and args.quiet and not args.table:
        raise ConfigError("--labels only shows a table, which --quiet hides; name one with --table")
    if args.table and os.path.realpath(args.table) == os.path.realpath(args.output):
        raise ConfigError(f"{args.table}: is both --output and --table; name two files")
    for path in filter(None, (args.output, args.table)):
        check_writable(path, args.overwrite)
    grid, labels = load_grid(args.fixed), None
    if args.labels:
        labels = on_grid(load_labels(args.labels), grid, args.fixed)
    determinant = read_field(args.field, grid).jacobian() / _volume_of(args.without_affine)
    logarithm = log_determinant(determinant)
    folded = int((determinant <= 0).sum())
    if folded:
        _log.warning("%s: %d voxels are folded; see --help for them", args.field, folded)
    rows = [] if labels is None else _volumes(labels, determinant, logarithm)
    save_image(args.output, logarithm, grid, overwrite=args.overwrite)
    if args.table:
        write_atomic(args.table, [csv_text(_COLUMNS, rows).encode()], args.overwrite)
    if not args.quiet:
        low, high = float(logarithm.min()), float(logarithm.max())
        print(f"{args.output}: log determinant {low:.3f} to {high:.3f}, {folded} voxels folded")
        if rows:
            print_table(rows, header=_COLUMNS)
    return 0


def _volume_of(path: str | None) -> np.float32:
    """How many times as large an affine makes a volume; 1 without one.

    The determinant of a deformation and an affine after it is the product of both.
    """
    from optreg.io import read_transform
    from optreg.transform import Affine

    if path is None:
        return np.float32(1)
    affine = read_transform(path)
    if not isinstance(affine, Affine):
        raise InputError(f"{path}: is no affine; give affine.tfm of the result")
    return np.float32(abs(affine.parts().volume))


def _volumes(
    labels: Image, determinant: np.ndarray, logarithm: np.ndarray
) -> list[tuple[Any, ...]]:
    """Row of each label but 0, the background."""
    numbers, index = np.unique(labels.data, return_inverse=True)
    voxel = float(abs(np.linalg.det(labels.grid.affine[:3, :3])))

    def per_label(values: np.ndarray) -> np.ndarray:
        return np.bincount(index.ravel(), values.ravel().astype(np.float64), len(numbers))

    count = np.bincount(index.ravel(), minlength=len(numbers))
    moving, folded = per_label(determinant), per_label(determinant <= 0)
    mean = per_label(logarithm) / count
    return [
        (
            int(number),
            int(count[i]),
            f"{count[i] * voxel:.3f}",
            f"{moving[i] * voxel:.3f}",
            f"{100 * (moving[i] / count[i] - 1):.3f}",
            f"{mean[i]:.5f}",
            int(folded[i]),
        )
        for i, number in enumerate(numbers)
        if number
    ]
