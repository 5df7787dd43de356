"""FSL: warps of FNIRT and matrices of FLIRT.

FSL's millimetres are scaled voxels: voxel positions times voxel size, where the first axis counts
from its other end if the determinant of the image's affine is positive, so that the system is
always left-handed. They say nothing of the world, which is why both images are needed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optreg.errors import InputError
from optreg.grid import Grid
from optreg.io.files import PathLike
from optreg.io.formats.frame import Frame
from optreg.io.formats.matrix import read_matrix, write_matrix
from optreg.io.nifti import StoredVolume, write_nifti
from optreg.transform import Affine, DisplacementField

__all__ = [
    "INTENTS",
    "absolute_to_nifti",
    "flirt_to_text",
    "from_absolute",
    "from_relative",
    "read_flirt",
    "relative_to_nifti",
    "scaled_voxels",
]

INTENTS = range(2006, 2019)
"""NIfTI intents that belong to FSL; the first is a field, the others are coefficients and topup."""


def scaled_voxels(grid: Grid) -> NDArray[np.float64]:
    """(4, 4) matrix from voxel positions of `grid` to the millimetres of FSL."""
    matrix = np.diag([*grid.spacing, 1.0])
    if np.linalg.det(grid.affine[:3, :3]) > 0:
        matrix[0, 3] = (grid.shape[0] - 1) * grid.spacing[0]
        matrix[0, 0] = -matrix[0, 0]
    return matrix


def from_relative(
    stored: StoredVolume, fixed: Grid | None, moving: Grid | None
) -> DisplacementField:
    """Warp ``(X,Y,Z,3)`` of displacements, as FNIRT writes it."""
    return _decode(stored, moving, absolute=False)


def from_absolute(
    stored: StoredVolume, fixed: Grid | None, moving: Grid | None
) -> DisplacementField:
    """Warp ``(X,Y,Z,3)`` of positions, as ``convertwarp --absout`` writes it."""
    return _decode(stored, moving, absolute=True)


def relative_to_nifti(path: PathLike, field: DisplacementField, overwrite: bool) -> Path:
    """Write displacements, float32, with the intent of a field of FNIRT."""
    return _encode(path, field, overwrite, absolute=False)


def absolute_to_nifti(path: PathLike, field: DisplacementField, overwrite: bool) -> Path:
    """Write positions, float32, with the intent of a field of FNIRT."""
    return _encode(path, field, overwrite, absolute=True)


def read_flirt(path: Path, fixed: Grid | None, moving: Grid | None) -> Affine:
    """Affine of a matrix of FLIRT, which maps from the moving (``-in``) to the fixed (``-ref``)."""
    if fixed is None or moving is None:
        raise InputError(
            "a matrix of FLIRT depends on both images; name them (optreg convert --moving)"
        )
    matrix = read_matrix(path)
    start = scaled_voxels(fixed) @ np.linalg.inv(fixed.affine)
    end = moving.affine @ np.linalg.inv(scaled_voxels(moving))
    return Affine(end @ np.linalg.inv(matrix) @ start)


def flirt_to_text(
    path: PathLike, affine: Affine, fixed: Grid | None, moving: Grid | None, overwrite: bool
) -> Path:
    """Write the matrix that FLIRT would have found (``-omat``)."""
    if fixed is None or moving is None:
        raise InputError(f"{path}: a matrix of FLIRT depends on both images; name them (--moving)")
    start = fixed.affine @ np.linalg.inv(scaled_voxels(fixed))
    end = scaled_voxels(moving) @ np.linalg.inv(moving.affine)
    return write_matrix(path, Affine(end @ affine.matrix @ start).invert().matrix, overwrite)


def _decode(stored: StoredVolume, moving: Grid | None, absolute: bool) -> DisplacementField:
    if stored.intent in INTENTS[1:]:
        raise InputError(
            f"intent {stored.intent} is no field but coefficients or topup; expand it with FSL's "
            "fnirtfileutils --out"
        )
    if moving is None:
        raise InputError(
            "a warp of FSL depends on the moving image; name that (optreg convert --moving)"
        )
    values = stored.values(stored.array)
    if values.ndim != 4 or values.shape[3] != 3:
        raise InputError(f"shape {values.shape}; a warp of FSL has (X,Y,Z,3)")
    fixed = Grid(values.shape[:3], stored.affine, stored.space)
    return _frame(fixed, moving, absolute).decode(values)


def _encode(path: PathLike, field: DisplacementField, overwrite: bool, absolute: bool) -> Path:
    grid = field.fixed_grid
    stored = _frame(grid, field.source_grid, absolute).encode(field.disp)
    return write_nifti(
        path, stored, grid.affine, intent=INTENTS[0], space=grid.space, overwrite=overwrite
    )


def _frame(fixed: Grid, moving: Grid, absolute: bool) -> Frame:
    end = scaled_voxels(moving) @ fixed.matrix_to(moving)
    return Frame(fixed, end, None if absolute else scaled_voxels(fixed), moving)
