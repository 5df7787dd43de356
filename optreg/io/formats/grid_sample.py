"""The sampling grid of ``torch.nn.functional.grid_sample``, saved as an array of NumPy.

For volumes (X, Y, Z) given to torch as (1, 1, X, Y, Z), the grid is (1, X, Y, Z, 3): positions in
the moving volume from -1 to 1 along each of its axes, the last axis first. With
``align_corners=True`` -1 and 1 are the centres of the outer voxels, without it their outer faces.

Nothing in the numbers tells such a grid from small displacements, so the name of the array in an
.npz file does: ``align_corners_false`` or ``align_corners_true``. Files of others, with any other
name, are what the caller says they are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optreg.errors import InputError
from optreg.grid import Grid
from optreg.io.files import PathLike
from optreg.io.formats.arrays import POSITIONS, read_array, write_array
from optreg.io.formats.frame import Frame
from optreg.transform import DisplacementField

__all__ = ["centres_to_file", "faces_to_file", "read_centres", "read_faces"]


def read_faces(path: Path, fixed: Grid | None, moving: Grid | None) -> DisplacementField:
    """Read a grid made for ``align_corners=False``."""
    return _read(path, fixed, moving, align_corners=False)


def read_centres(path: Path, fixed: Grid | None, moving: Grid | None) -> DisplacementField:
    """Read a grid made for ``align_corners=True``."""
    return _read(path, fixed, moving, align_corners=True)


def faces_to_file(path: PathLike, field: DisplacementField, overwrite: bool) -> Path:
    """Write float32 (X, Y, Z, 3) for ``align_corners=False``."""
    frame = _frame(field.fixed_grid, field.source_grid, align_corners=False)
    return write_array(path, frame.encode(field.disp), overwrite, POSITIONS["torch"])


def centres_to_file(path: PathLike, field: DisplacementField, overwrite: bool) -> Path:
    """Write float32 (X, Y, Z, 3) for ``align_corners=True``."""
    frame = _frame(field.fixed_grid, field.source_grid, align_corners=True)
    return write_array(path, frame.encode(field.disp), overwrite, POSITIONS["torch-aligned"])


def _read(
    path: Path, fixed: Grid | None, moving: Grid | None, align_corners: bool
) -> DisplacementField:
    values = read_array(path, POSITIONS["torch-aligned" if align_corners else "torch"])
    if values.ndim == 5 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 4 or values.shape[3] != 3:
        raise InputError(f"shape {values.shape}; a grid of torch has (X,Y,Z,3) or (1,X,Y,Z,3)")
    if fixed is None:
        nx, ny, nz = values.shape[:3]
        fixed = Grid.identity((nx, ny, nz))
    return _frame(fixed, moving or fixed, align_corners).decode(values)


def _frame(fixed: Grid, moving: Grid, align_corners: bool) -> Frame:
    end = _normalized(moving, align_corners) @ fixed.matrix_to(moving)
    return Frame(fixed, end, None, moving)


def _normalized(grid: Grid, align_corners: bool) -> NDArray[np.float64]:
    """(4, 4) matrix from voxel positions to -1..1, last axis first."""
    size = np.array(grid.shape, float)
    scale = 2 / np.maximum(size - 1, 1) if align_corners else 2 / size
    shift = np.where(size > 1, -1.0, 0.0) if align_corners else 1 / size - 1
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag(scale)[::-1]
    matrix[:3, 3] = shift[::-1]
    return matrix
