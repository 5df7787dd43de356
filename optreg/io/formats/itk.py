"""ITK, ANTs and SimpleITK: displacements in LPS mm, in an image or in a transform file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optreg.errors import GeometryError, InputError, OutputError
from optreg.grid import Grid
from optreg.io.files import PathLike
from optreg.io.formats.frame import Frame
from optreg.io.formats.itk_files import HDF5, require_complete
from optreg.io.itk import quiet_itk, read_itk, save_with_itk
from optreg.io.nifti import StoredVolume, write_nifti
from optreg.transform import Affine, DisplacementField
from optreg.transform.itk import LPS, own_transform, vector_image

__all__ = [
    "AFFINES",
    "IMAGES",
    "INTENTS",
    "TRANSFORMS",
    "affine_to_file",
    "field_to_file",
    "from_nifti",
    "read_image",
    "read_transform_file",
]

IMAGES = (".mha", ".nrrd")
TRANSFORMS = (*HDF5, ".tfm", ".mat", ".txt", ".xfm")
"""Endings that are read as transform files."""
AFFINES = (".tfm", ".txt", ".mat", ".h5")
"""Endings under which an affine is written; a field only under the last one."""

_HDF5_BYTES = 8000
"""What an HDF5 file takes besides its values, at least."""

_DISPLACEMENTS, _VECTORS = 1006, 1007
INTENTS = (_DISPLACEMENTS, _VECTORS)
"""NIfTI intents of fields: ITK writes the second, and since version 5.4 takes the first for RAS."""


def from_nifti(
    stored: StoredVolume, fixed: Grid | None, moving: Grid | None = None
) -> DisplacementField:
    """Field ``(X,Y,Z,1,3)`` on its own grid."""
    shape = stored.array.shape
    if len(shape) != 5 or shape[3:] != (1, 3):
        raise InputError(
            f"intent {stored.intent}, shape {shape}; an ITK field has (X,Y,Z,1,3). If it is of "
            "another format, name that (optreg convert --from)"
        )
    values = stored.values(stored.array)[:, :, :, 0]
    grid = Grid(values.shape[:3], stored.affine, stored.space)
    if stored.intent == _DISPLACEMENTS:
        return Frame(grid, grid.affine, grid.affine, moving).decode(values)
    return _frame(grid, moving).decode(values)


def read_image(path: Path, fixed: Grid | None, moving: Grid | None = None) -> DisplacementField:
    """Vector image .mha or .nrrd on its own grid."""
    values, affine = read_itk(path)
    if values.ndim != 4 or values.shape[3] != 3:
        raise InputError(f"shape {values.shape}; a vector image (X,Y,Z) of 3 components is needed")
    nx, ny, nz = values.shape[:3]
    return _frame(Grid((nx, ny, nz), affine), moving).decode(values)


def read_transform_file(
    path: Path, fixed: Grid | None, moving: Grid | None = None
) -> Affine | DisplacementField:
    """Affine where the transform is linear; else a field, on the fixed grid if it has none."""
    import SimpleITK as sitk

    require_complete(path)
    with quiet_itk(path):
        transform = own_transform(sitk.ReadTransform(str(path)))
        if transform.IsLinear():
            return Affine.from_sitk(transform)
        return DisplacementField.from_sitk(transform, fixed, moving)


def field_to_file(path: PathLike, field: DisplacementField, overwrite: bool) -> Path:
    """Write a field as NIfTI ``(X,Y,Z,1,3)``, .mha, .nrrd (float32 all) or .h5 (float64)."""
    name, grid = str(path).lower(), field.fixed_grid
    cosines = grid.directions
    if not np.allclose(cosines.T @ cosines, np.eye(3), atol=1e-4):
        raise GeometryError(f"{path}: ITK reads no grid with sheared axes; use format l2r")
    if name.endswith(".h5"):
        import SimpleITK as sitk

        transform = field.to_sitk()
        return save_with_itk(
            path,
            lambda draft: sitk.WriteTransform(transform, draft),
            overwrite,
            _HDF5_BYTES + 2 * field.disp.nbytes,  # it holds float64
        )
    if name.endswith(IMAGES):
        import SimpleITK as sitk

        image = vector_image(field.to_mm(), grid.affine)
        return save_with_itk(
            path, lambda draft: sitk.WriteImage(image, draft), overwrite, field.disp.nbytes
        )
    if not name.endswith((".nii", ".nii.gz")):
        raise OutputError(f"{path}: an ITK field ends in .nii.gz, .nii, .mha, .nrrd or .h5")
    stored = _frame(grid, None).encode(field.disp)[:, :, :, None, :]
    return write_nifti(
        path, stored, grid.affine, intent=_VECTORS, space=grid.space, overwrite=overwrite
    )


def affine_to_file(path: PathLike, affine: Affine, overwrite: bool) -> Path:
    """Write an affine as .tfm or .txt (text), .mat (as ANTs does) or .h5."""
    import SimpleITK as sitk

    if not str(path).lower().endswith(AFFINES):
        raise OutputError(f"{path}: an ITK affine ends in {', '.join(AFFINES)}")
    transform, least = affine.to_sitk(), _HDF5_BYTES if str(path).lower().endswith(HDF5) else 1
    return save_with_itk(
        path, lambda draft: sitk.WriteTransform(transform, draft), overwrite, least
    )


def _frame(grid: Grid, moving: Grid | None) -> Frame:
    lps = np.diag([*LPS, 1.0]) @ grid.affine
    return Frame(grid, lps, lps, moving)
