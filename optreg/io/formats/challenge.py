"""Displacements in voxels: NIfTI of the Learn2Reg / LUMIR challenge, and .npz."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optreg.errors import InputError, OutputError
from optreg.grid import Grid
from optreg.io.files import PathLike
from optreg.io.formats.arrays import read_array, write_array
from optreg.io.formats.frame import require_finite
from optreg.io.nifti import StoredVolume, write_nifti
from optreg.transform import DisplacementField

__all__ = ["from_nifti", "read_numpy", "to_nifti", "to_numpy"]

# Share of voxels that a field may send out of the image before it is taken for one in other units.
_LARGEST_SHARE_OUTSIDE = 0.5


def from_nifti(
    stored: StoredVolume, fixed: Grid | None, moving: Grid | None = None
) -> DisplacementField:
    """Field ``(X,Y,Z,3)`` or ``(3,X,Y,Z)``; without a fixed grid the geometry of the file holds."""
    geometry = stored.affine, stored.space
    return _from_voxels(stored.values(stored.array), geometry, fixed, moving)


def to_nifti(path: PathLike, field: DisplacementField, overwrite: bool) -> Path:
    """Float32 ``(X,Y,Z,3)`` with identity affine, as the challenge wants it."""
    return write_nifti(path, np.moveaxis(field.disp, 0, -1), np.eye(4), overwrite=overwrite)


def read_numpy(path: Path, fixed: Grid | None, moving: Grid | None = None) -> DisplacementField:
    """Field of an array file, in either order of the axes."""
    return _from_voxels(read_array(path), (np.eye(4), 1), fixed, moving)


def to_numpy(path: PathLike, field: DisplacementField, overwrite: bool) -> Path:
    """Float32 ``(3,X,Y,Z)`` as .npz."""
    if not str(path).lower().endswith(".npz"):
        raise OutputError(f"{path}: format npz; end the name in .npz")
    return write_array(path, field.disp, overwrite)


def _from_voxels(
    values: NDArray[Any],
    geometry: tuple[NDArray[np.float64], int],
    grid: Grid | None,
    moving: Grid | None,
) -> DisplacementField:
    shape = values.shape
    if len(shape) != 4 or 3 not in (shape[0], shape[3]):
        raise InputError(f"shape {shape} is no displacement field; (X,Y,Z,3) or (3,X,Y,Z) is due")
    require_finite(values)
    last = shape[3] == 3
    if shape[0] == shape[3] == 3 and grid is not None:
        last = shape[:3] == grid.shape
    disp = np.moveaxis(values, -1, 0) if last else values
    if grid is None:
        nx, ny, nz = disp.shape[1:]
        grid = Grid((nx, ny, nz), *geometry)
    elif disp.shape[1:] != grid.shape:
        raise InputError(
            f"field for {'x'.join(map(str, disp.shape[1:]))} voxels, the fixed image has "
            f"{'x'.join(map(str, grid.shape))}; use the image it was made for"
        )
    field = DisplacementField(disp, grid, moving)
    _require_voxels(field)
    return field


def _require_voxels(field: DisplacementField) -> None:
    """Refuse a field in voxels whose numbers are plainly something else."""
    away = np.zeros(field.fixed_grid.shape, bool)
    for axis, n in enumerate(field.fixed_grid.shape):
        index = np.arange(n, dtype=np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        away |= (field.disp[axis] < -index - n / 2) | (field.disp[axis] > 1.5 * n - index)
    share = float(away.mean())
    if share > _LARGEST_SHARE_OUTSIDE:
        raise InputError(
            f"{share:.0%} of the displacements lead far out of the image; they must be in voxels, "
            "not in mm and not positions"
        )
