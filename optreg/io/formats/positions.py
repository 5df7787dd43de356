"""SPM and NiftyReg: deformations, which give the position in RAS mm each voxel maps to.

NiftyReg says in the header what a file holds; its displacements are read as well.
"""

from __future__ import annotations

from pathlib import Path

from optreg.errors import InputError
from optreg.grid import Grid
from optreg.io.files import PathLike
from optreg.io.formats.frame import Frame
from optreg.io.nifti import StoredVolume, write_nifti
from optreg.transform import DisplacementField

__all__ = ["from_nifti", "is_niftyreg", "to_nifti"]

# NIFTI_INTENT_VECTOR, as both programs write.
_INTENT = 1007
_NIFTYREG = "NREG_TRANS"
# Its kinds of transforms, in the first parameter of the intent; more follow.
_DEFORMATION, _DISPLACEMENT = 0, 1


def from_nifti(
    stored: StoredVolume, fixed: Grid | None, moving: Grid | None = None
) -> DisplacementField:
    """Deformation ``(X,Y,Z,1,3)`` on its own grid."""
    shape = stored.array.shape
    if len(shape) != 5 or shape[3:] != (1, 3):
        raise InputError(f"shape {shape}; a deformation has (X,Y,Z,1,3)")
    values = stored.values(stored.array)[:, :, :, 0]
    grid, start = Grid(values.shape[:3], stored.affine, stored.space), None
    if is_niftyreg(stored):
        if stored.intent_p1 not in (_DEFORMATION, _DISPLACEMENT):
            raise InputError(
                "is a control point grid or a velocity field of NiftyReg; make a deformation of it "
                "(reg_transform -def)"
            )
        start = grid.affine if stored.intent_p1 == _DISPLACEMENT else None
    return Frame(grid, grid.affine, start, moving).decode(values)


def is_niftyreg(stored: StoredVolume) -> bool:
    """Whether a file is a transform of NiftyReg."""
    return stored.intent == _INTENT and stored.intent_name == _NIFTYREG


def to_nifti(path: PathLike, field: DisplacementField, overwrite: bool) -> Path:
    """Write a deformation, float32."""
    grid = field.fixed_grid
    stored = Frame(grid, grid.affine).encode(field.disp)[:, :, :, None, :]
    return write_nifti(
        path, stored, grid.affine, intent=_INTENT, space=grid.space, overwrite=overwrite
    )
