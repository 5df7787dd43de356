"""SPM and NiftyReg: deformations, which give the position in RAS mm each voxel maps to."""

from __future__ import annotations

from pathlib import Path

from optreg.errors import InputError
from optreg.grid import Grid
from optreg.io.files import PathLike
from optreg.io.formats.frame import Frame
from optreg.io.nifti import StoredVolume, write_nifti
from optreg.transform import DisplacementField

__all__ = ["from_nifti", "to_nifti"]

# NIFTI_INTENT_VECTOR, as both programs write.
_INTENT = 1007


def from_nifti(
    stored: StoredVolume, fixed: Grid | None, moving: Grid | None = None
) -> DisplacementField:
    """Deformation ``(X,Y,Z,1,3)`` on its own grid."""
    shape = stored.array.shape
    if len(shape) != 5 or shape[3:] != (1, 3):
        raise InputError(f"shape {shape}; a deformation has (X,Y,Z,1,3)")
    values = stored.values(stored.array)[:, :, :, 0]
    grid = Grid(values.shape[:3], stored.affine)
    return Frame(grid, grid.affine, None, moving).decode(values)


def to_nifti(path: PathLike, field: DisplacementField, overwrite: bool) -> Path:
    """Write a deformation, float32."""
    grid = field.fixed_grid
    stored = Frame(grid, grid.affine).encode(field.disp)[:, :, :, None, :]
    return write_nifti(path, stored, grid.affine, intent=_INTENT, overwrite=overwrite)
