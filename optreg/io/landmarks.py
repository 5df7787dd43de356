"""Landmarks of an image, in tables and in the files of 3D Slicer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optreg.errors import InputError, OutputError
from optreg.grid import Grid
from optreg.io.files import PathLike, check_readable, write_atomic
from optreg.io.points_csv import MM, VOX, PointTable, csv_of, read_csv
from optreg.io.points_slicer import fcsv_of, markups_of, read_fcsv, read_markups

__all__ = ["Landmarks", "is_point_file", "match_landmarks", "read_landmarks", "write_landmarks"]

_log = logging.getLogger("optreg")

_LARGEST_DISAGREEMENT_MM = 0.1


class Landmarks(NamedTuple):
    """Points of one image.

    Attributes
    ----------
    names : tuple of str
        Column ``name``, else ``label``, else the number of the row.
    vox : (N, 3) ndarray
        Voxel positions in array axis order, from 0 at the centre of the first voxel.
    mm : (N, 3) ndarray
        RAS mm.
    """

    names: tuple[str, ...]
    vox: NDArray[np.float64]
    mm: NDArray[np.float64]


_READERS: dict[str, Callable[[Path], PointTable]] = {
    ".fcsv": read_fcsv,
    ".mrk.json": read_markups,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".txt": read_csv,
}


def is_point_file(path: PathLike) -> bool:
    """Whether the ending is that of a file of points, and not of a label map."""
    return str(path).lower().endswith(tuple(_READERS))


def read_landmarks(path: PathLike, grid: Grid | None = None) -> Landmarks:
    """Read landmarks of a table or of 3D Slicer.

    A table has columns ``label, name, i_vox, j_vox, k_vox, x_mm, y_mm, z_mm``. Their order is
    free, others are ignored, and ``;`` or tabs may separate them. With `grid`, one of the two
    triples is enough, and a table of three numbers a row without any header (as in Learn2Reg) is
    read as voxel positions. Files of Slicer hold mm, in RAS or in LPS as they state.

    Parameters
    ----------
    path : path
        ``.fcsv`` or ``.mrk.json``; anything else is a CSV table in UTF-8, with or without a byte
        order mark.
    grid : Grid, optional
        Grid of the image the points belong to; they are checked against it.

    Raises
    ------
    InputError
        Naming the line: a value that is no finite number, a missing column, a point outside the
        grid, voxels and mm that disagree.
    """
    path = check_readable(path)
    name = path.name.lower()
    reader = next((r for ending, r in _READERS.items() if name.endswith(ending)), read_csv)
    names, vox, mm, places = reader(path)
    if grid is not None:
        # One of the two is there.
        vox = grid.world_to_voxel(mm) if vox is None else vox  # type: ignore[arg-type]
        mm = grid.voxel_to_world(vox) if mm is None else mm
        _check_against(grid, vox, mm, places, path)
    if vox is None or mm is None:
        raise InputError(
            f"{path}: columns {', '.join((*VOX, *MM))} are needed without an image; name the image"
        )
    return Landmarks(names, vox, mm)


def match_landmarks(
    fixed: Landmarks, moving: Landmarks, path: PathLike
) -> tuple[list[int], list[int]]:
    """Rows of the landmarks of two images that belong together.

    By name, where names occur once and some of them in both; those of one image alone are left out
    with a warning. Else, and where the names are but the numbers of the rows, row by row.

    Parameters
    ----------
    fixed, moving : Landmarks
    path : path
        What messages call the second.

    Raises
    ------
    InputError
        They are not equally many.
    """
    count = len(fixed.names)
    if count != len(moving.names):
        raise InputError(
            f"{path}: {len(moving.names)} landmarks, the fixed image has {count}; each needs its "
            "counterpart"
        )
    unique = len({*fixed.names}) == len({*moving.names}) == count
    alone = sorted({*fixed.names} ^ {*moving.names})
    common = [name for name in fixed.names if name not in alone]
    if not (unique and common):
        return list(range(count)), list(range(count))
    if alone:
        _log.warning("%s: left out, for want of a counterpart: %s", path, ", ".join(alone))
    return [fixed.names.index(n) for n in common], [moving.names.index(n) for n in common]


def write_landmarks(path: PathLike, landmarks: Landmarks, *, overwrite: bool = False) -> Path:
    """Write landmarks; the ending chooses the format.

    Parameters
    ----------
    path : path
        ``.csv``: names, voxels and RAS mm to four decimals. ``.fcsv`` and ``.mrk.json``: point
        list of 3D Slicer, in LPS mm.
    landmarks : Landmarks
        What to write.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    OutputError
        Another ending, the file exists, or cannot be written.
    """
    names, vox, mm = landmarks
    name = str(path).lower()
    if name.endswith(".mrk.json"):
        text = markups_of(names, mm)
    elif name.endswith(".fcsv"):
        text = fcsv_of(names, mm)
    elif name.endswith(".csv"):
        text = csv_of(names, vox, mm)
    else:
        raise OutputError(f"{path}: landmarks end in .csv, .fcsv or .mrk.json")
    return write_atomic(path, [text.encode()], overwrite)


def _check_against(
    grid: Grid,
    vox: NDArray[np.float64],
    mm: NDArray[np.float64],
    places: tuple[str, ...],
    path: Path,
) -> None:
    apart = np.abs(grid.voxel_to_world(vox) - mm).max(axis=1)
    if (apart > _LARGEST_DISAGREEMENT_MM).any():
        worst = int(apart.argmax())
        raise InputError(
            f"{path}: {places[worst]}: voxels and mm disagree by {apart[worst]:.1f} mm on this "
            "image; the table belongs to another grid"
        )
    outside = ((vox < -0.5) | (vox > np.array(grid.shape) - 0.5)).any(axis=1)
    if outside.any():
        first = int(outside.argmax())
        raise InputError(
            f"{path}: {places[first]}: voxel {np.round(vox[first], 2).tolist()} is outside the "
            f"image of {'x'.join(map(str, grid.shape))}; check which image it belongs to"
        )
