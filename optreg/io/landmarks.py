"""Landmarks from a CSV table."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optreg.errors import InputError
from optreg.grid import Grid
from optreg.io.files import PathLike, check_readable

__all__ = ["Landmarks", "read_landmarks"]

_VOX = ("i_vox", "j_vox", "k_vox")
_MM = ("x_mm", "y_mm", "z_mm")
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


def read_landmarks(path: PathLike, grid: Grid | None = None) -> Landmarks:
    """Read landmarks with columns ``label, name, i_vox, j_vox, k_vox, x_mm, y_mm, z_mm``.

    The order of the columns is free, others are ignored, and ``;`` or tabs may separate them. With
    `grid`, one of the two triples is enough, and a table of three numbers a row without any header
    (as in Learn2Reg) is read as voxel positions.

    Parameters
    ----------
    path : path
        CSV table in UTF-8, with or without a byte order mark.
    grid : Grid, optional
        Grid of the image the points belong to; they are checked against it.

    Raises
    ------
    InputError
        Naming the line: a value that is no finite number, a missing column, a point outside the
        grid, voxels and mm that disagree.
    """
    path = check_readable(path)
    rows = _rows(path)
    names, triples = _columns(rows, path)
    if set(triples) != {_VOX, _MM} and grid is None:
        raise InputError(
            f"{path}: columns {', '.join((*_VOX, *_MM))} are needed without an image; add them"
        )
    lines = [line for line, _ in rows][-len(names) :]
    # Without a grid both triples are there, so neither of these is reached.
    vox = triples[_VOX] if _VOX in triples or grid is None else grid.world_to_voxel(triples[_MM])
    mm = triples[_MM] if _MM in triples or grid is None else grid.voxel_to_world(triples[_VOX])
    if grid is not None:
        _check_against(grid, vox, mm, lines, path)
    return Landmarks(tuple(names), vox, mm)


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Line number and cells of every row that is not blank."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as err:
        raise InputError(f"{path}: is not a UTF-8 text table ({err}); export it as CSV") from err
    if "\0" in text:
        raise InputError(f"{path}: is not a text table; export it as CSV")
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=separator)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as err:
        raise InputError(f"{path}: line {reader.line_num}: {err}; export the table again") from err
    rows = [(line, row) for line, row in rows if any(row)]
    if not rows:
        raise InputError(f"{path}: holds no landmarks; export the table again")
    return rows


def _columns(
    rows: list[tuple[int, list[str]]], path: Path
) -> tuple[list[str], dict[tuple[str, ...], NDArray[np.float64]]]:
    """Names, and the position triples that the table has."""
    if all(_is_number(cell) for cell in rows[0][1]):
        header, body = list(_VOX), rows
        if len(rows[0][1]) != 3:
            raise InputError(
                f"{path}: line {rows[0][0]}: {len(rows[0][1])} numbers and no header; name the "
                f"columns {', '.join(_VOX)}"
            )
    else:
        header, body = [cell.lower() for cell in rows[0][1]], rows[1:]
    if not body:
        raise InputError(f"{path}: has a header and no landmarks; export the table again")
    for line, row in body:
        if len(row) != len(header):
            raise InputError(
                f"{path}: line {line}: {len(row)} cells where {len(header)} are needed"
            )
    triples: dict[tuple[str, ...], NDArray[np.float64]] = {}
    for triple in (_VOX, _MM):
        if set(triple) <= set(header):
            picked = [header.index(column) for column in triple]
            triples[triple] = np.array([_numbers(line, row, picked, path) for line, row in body])
    if not triples:
        raise InputError(
            f"{path}: line {rows[0][0]}: no columns {', '.join(_VOX)} or {', '.join(_MM)}; add a "
            "header with them"
        )
    named = next((header.index(column) for column in ("name", "label") if column in header), None)
    names = [str(n) if named is None else row[named] for n, (_, row) in enumerate(body, 1)]
    return names, triples


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(line: int, row: list[str], picked: Sequence[int], path: Path) -> list[float]:
    values = []
    for column in picked:
        value = float(row[column]) if _is_number(row[column]) else math.nan
        if not math.isfinite(value):
            raise InputError(f"{path}: line {line}: '{row[column]}' is not a finite number")
        values.append(value)
    return values


def _check_against(
    grid: Grid,
    vox: NDArray[np.float64],
    mm: NDArray[np.float64],
    lines: list[int],
    path: Path,
) -> None:
    apart = np.abs(grid.voxel_to_world(vox) - mm).max(axis=1)
    if (apart > _LARGEST_DISAGREEMENT_MM).any():
        worst = int(apart.argmax())
        raise InputError(
            f"{path}: line {lines[worst]}: voxels and mm disagree by {apart[worst]:.1f} mm on this "
            "image; the table belongs to another grid"
        )
    outside = ((vox < -0.5) | (vox > np.array(grid.shape) - 0.5)).any(axis=1)
    if outside.any():
        first = int(outside.argmax())
        raise InputError(
            f"{path}: line {lines[first]}: voxel {np.round(vox[first], 2).tolist()} is outside the "
            f"image of {'x'.join(map(str, grid.shape))}; check which image it belongs to"
        )
