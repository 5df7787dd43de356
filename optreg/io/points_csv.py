"""Points in a CSV table."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optreg.errors import InputError
from optreg.io.tables import csv_text

__all__ = ["MM", "VOX", "PointTable", "csv_of", "finite", "read_csv", "text_rows"]

VOX = ("i_vox", "j_vox", "k_vox")
MM = ("x_mm", "y_mm", "z_mm")


class PointTable(NamedTuple):
    """Points as a file has them.

    Attributes
    ----------
    names : tuple of str
        One a point.
    vox, mm : (N, 3) ndarray or None
        Voxel positions, and RAS mm; one of them is there.
    places : tuple of str
        Where in the file each point is, for messages.
    """

    names: tuple[str, ...]
    vox: NDArray[np.float64] | None
    mm: NDArray[np.float64] | None
    places: tuple[str, ...]


def read_csv(path: Path) -> PointTable:
    """Read a table with columns ``label, name, i_vox, j_vox, k_vox, x_mm, y_mm, z_mm``.

    Raises
    ------
    InputError
        Naming the line: a value that is no finite number, or a missing column.
    """
    rows = text_rows(path, ",;\t")
    if not rows:
        raise InputError(f"{path}: holds no landmarks; export the table again")
    if all(_is_number(cell) for cell in rows[0][1]):
        header, body = list(VOX), rows
        if len(rows[0][1]) != 3:
            raise InputError(
                f"{path}: line {rows[0][0]}: {len(rows[0][1])} numbers and no header; name the "
                f"columns {', '.join(VOX)}"
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
    vox, mm = (_triple(columns, header, body, path) for columns in (VOX, MM))
    if vox is None and mm is None:
        raise InputError(
            f"{path}: line {rows[0][0]}: no columns {', '.join(VOX)} or {', '.join(MM)}; add a "
            "header with them"
        )
    named = next((header.index(column) for column in ("name", "label") if column in header), None)
    names = [str(n) if named is None else row[named] for n, (_, row) in enumerate(body, 1)]
    return PointTable(tuple(names), vox, mm, tuple(f"line {line}" for line, _ in body))


def csv_of(names: Sequence[str], vox: NDArray[np.float64], mm: NDArray[np.float64]) -> str:
    """Table with the columns that `read_csv` reads."""
    rows = [
        [name, *(f"{value:.4f}" for value in (*v, *m))]
        for name, v, m in zip(names, vox, mm, strict=True)
    ]
    return csv_text(["name", *VOX, *MM], rows)


def text_rows(path: Path, separators: str) -> list[tuple[int, list[str]]]:
    """Line number and cells of every row that is not blank."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as err:
        raise InputError(f"{path}: is not a UTF-8 text table ({err}); export it as CSV") from err
    if "\0" in text:
        raise InputError(f"{path}: is not a text table; export it as CSV")
    first = text.partition("\n")[0]
    separator = max(separators, key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=separator)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as err:
        raise InputError(f"{path}: line {reader.line_num}: {err}; export the table again") from err
    return [(line, row) for line, row in rows if any(row)]


def _triple(
    columns: Sequence[str], header: list[str], body: list[tuple[int, list[str]]], path: Path
) -> NDArray[np.float64] | None:
    if not set(columns) <= set(header):
        return None
    picked = [header.index(column) for column in columns]
    return np.array([finite([row[i] for i in picked], f"{path}: line {n}") for n, row in body])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def finite(cells: Sequence[object], place: str) -> list[float]:
    """Cells as numbers, or the InputError that says which is none."""
    values = []
    for cell in cells:
        value = float(str(cell)) if _is_number(str(cell)) else math.nan
        if not math.isfinite(value):
            raise InputError(f"{place}: '{cell}' is not a finite number")
        values.append(value)
    return values
