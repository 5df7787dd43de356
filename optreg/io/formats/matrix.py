"""A 4x4 matrix as sixteen numbers in a text file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optreg.errors import InputError
from optreg.grid import Grid
from optreg.io.files import PathLike, write_atomic
from optreg.transform import Affine

__all__ = ["is_matrix", "ras_to_text", "read_matrix", "read_ras", "write_matrix"]

_LONGEST = 1 << 14


def read_matrix(path: Path) -> NDArray[np.float64]:
    """(4, 4) matrix of four lines of four numbers.

    Raises
    ------
    InputError
        Anything else, or a matrix that is not affine or cannot be inverted.
    """
    rows = _rows(path)
    if rows is None:
        raise InputError("is no text of four lines of four numbers; check its format")
    return Affine(np.array(rows)).matrix


def is_matrix(path: Path) -> bool:
    """Whether the file is a matrix and nothing else, so that its meaning must be told."""
    return _rows(path) is not None


def write_matrix(path: PathLike, matrix: NDArray[np.float64], overwrite: bool) -> Path:
    """Write a (4, 4) matrix with all digits that float64 has."""
    # Adding 0 turns -0 into 0.
    text = "".join(" ".join(f"{v + 0.0:.17g}" for v in row) + "\n" for row in matrix)
    return write_atomic(path, [text.encode()], overwrite)


def read_ras(path: Path, fixed: Grid | None, moving: Grid | None = None) -> Affine:
    """Affine from RAS mm of the fixed image to RAS mm of the moving one."""
    return Affine(read_matrix(path))


def ras_to_text(
    path: PathLike, affine: Affine, fixed: Grid | None, moving: Grid | None, overwrite: bool
) -> Path:
    """Write the matrix of an affine itself."""
    return write_matrix(path, affine.matrix, overwrite)


def _rows(path: Path) -> list[list[float]] | None:
    with path.open("rb") as file:
        start = file.read(_LONGEST)
    try:
        lines = start.decode("ascii").split("\n")
        rows = [[float(word) for word in line.split()] for line in lines if line.strip()]
    except ValueError:  # UnicodeDecodeError is one
        return None
    return rows if [len(row) for row in rows] == [4, 4, 4, 4] else None
