"""``optreg info``: what is installed, what it runs on, what is in a file."""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np

from optreg.cli.console import example, grid_text, new_parser, print_table, refuse_options
from optreg.cli.inputs import load_chosen
from optreg.errors import DeviceError

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> argparse.ArgumentParser:
    parser = new_parser(
        commands,
        "info",
        "show versions, threads and devices, or what is in image files",
        example("optreg info", "optreg info fixed.nii.gz moving.nii.gz"),
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="images to describe")
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
        print_table(_image(path, args.volume), numbers=False)
    return 0


def _machine() -> list[tuple[str, str]]:
    from optreg.report.numbers import versions

    return [
        *versions().items(),
        ("", ""),
        ("threads", _threads()),
        ("GPU", _gpu()),
        ("compiled code kept in", _cache()),
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


def _cache() -> str:
    from optreg.kernels import cache_folder

    nowhere = "nowhere (no writable folder): each start compiles again; set NUMBA_CACHE_DIR"
    return cache_folder() or nowhere


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
