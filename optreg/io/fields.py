"""Transforms in every format: the format is chosen here, the conversion is in `optreg.io.formats`.

Each convention is turned into the internal one (see `optreg.transform`) there and nowhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from optreg.errors import GeometryError, InputError, OutputError
from optreg.grid import Grid
from optreg.io.files import PathLike, check_readable, within_memory
from optreg.io.formats import challenge, fsl, grid_sample, itk, matrix, positions
from optreg.io.formats.arrays import NUMPY, read_note
from optreg.io.nifti import StoredVolume, read_nifti, read_notes
from optreg.transform import Affine, DisplacementField

__all__ = [
    "FORMATS",
    "FieldFormat",
    "grids_of_file",
    "holds_affine",
    "onto_grid",
    "read_field",
    "read_transform",
    "read_voxels",
    "write_field",
    "write_transform",
]

_log = logging.getLogger("optreg")

FieldFormat = Literal["l2r", "itk", "npz", "fsl", "fsl-abs", "spm", "torch", "torch-aligned"]

_NIFTI = (".nii", ".nii.gz")
_NiftiReader = Callable[[StoredVolume, Grid | None, Grid | None], DisplacementField]
_Reader = Callable[[Path, Grid | None, Grid | None], Affine | DisplacementField]
_FieldWriter = Callable[[PathLike, DisplacementField, bool], Path]
_MatrixWriter = Callable[[PathLike, Affine, Grid | None, Grid | None, bool], Path]

_NIFTI_READERS: dict[str, _NiftiReader] = {
    "l2r": challenge.from_nifti,
    "itk": itk.from_nifti,
    "fsl": fsl.from_relative,
    "fsl-abs": fsl.from_absolute,
    "spm": positions.from_nifti,
}
# Format, the endings of its files, and who reads them.
_READERS: tuple[tuple[str, tuple[str, ...], _Reader], ...] = (
    ("npz", NUMPY, challenge.read_numpy),
    ("itk", itk.IMAGES, itk.read_image),
    ("itk", itk.TRANSFORMS, itk.read_transform_file),
    ("torch", NUMPY, grid_sample.read_faces),
    ("torch-aligned", NUMPY, grid_sample.read_centres),
    ("flirt", ("",), fsl.read_flirt),
    ("ras", ("",), matrix.read_ras),
)
_FIELD_WRITERS: dict[str, _FieldWriter] = {
    "l2r": challenge.to_nifti,
    "npz": challenge.to_numpy,
    "itk": itk.field_to_file,
    "fsl": fsl.relative_to_nifti,
    "fsl-abs": fsl.absolute_to_nifti,
    "spm": positions.to_nifti,
    "torch": grid_sample.faces_to_file,
    "torch-aligned": grid_sample.centres_to_file,
}
_MATRIX_WRITERS: dict[str, _MatrixWriter] = {
    "flirt": fsl.flirt_to_text,
    "ras": matrix.ras_to_text,
}

FORMATS = (*_FIELD_WRITERS, *_MATRIX_WRITERS)
"""Names of all formats that are read and written."""


def read_transform(
    path: PathLike,
    fixed_grid: Grid | None = None,
    moving_grid: Grid | None = None,
    *,
    format: str | None = None,
) -> Affine | DisplacementField:
    """Read a transform in any of the formats.

    ================= ===========================================================================
    ``l2r``           Learn2Reg / LUMIR: NIfTI (X,Y,Z,3) or (3,X,Y,Z), from voxels of the fixed to
                      voxels of the moving image
    ``npz``           the same as an array of NumPy, .npz or .npy
    ``itk``           ITK, ANTs, SimpleITK: NIfTI (X,Y,Z,1,3), .mha, .nrrd, LPS mm; transform files
    ``fsl``           warp of FSL with displacements, NIfTI (X,Y,Z,3)
    ``fsl-abs``       warp of FSL with positions
    ``spm``           deformation of SPM and NiftyReg: positions in RAS mm, NIfTI (X,Y,Z,1,3)
    ``torch``         grid of torch's ``grid_sample`` with ``align_corners=False``, .npz or .npy
    ``torch-aligned`` the same with ``align_corners=True``
    ``flirt``         matrix of FLIRT, text
    ``ras``           4x4 matrix from RAS mm of the fixed to RAS mm of the moving image, text
    ================= ===========================================================================

    Parameters
    ----------
    path : path
        Without `format`, .nii and .nii.gz are told by their header: intents 1006 and 1007 are
        "itk" (with the name that NiftyReg gives its transforms, "spm"), 2006 to 2018 "fsl",
        anything else "l2r". The other endings are .npz for "npz" and those of ITK (.mha, .nrrd,
        .h5, .hdf5, .tfm, .mat, .txt, .xfm). An .npz file that was written for torch, in which the
        array is called ``align_corners_false`` or ``align_corners_true``, is refused.
    fixed_grid : Grid, optional
        Grid of the fixed image, for files without geometry. A field in voxels must have its shape,
        unless it names its grids itself, as those that are written here do.
    moving_grid : Grid, optional
        Grid of the moving image, which the formats of FSL need and those of torch use. A field in
        voxels that names no grids leads to voxels of this one if `format` is given. If not, it is
        taken for a displacement in the world, in voxels of the fixed image: as version 0.1 wrote
        them, and the same where both images are on one grid; a warning is given where they are not.
    format : str, optional
        Its name; see above.

    Returns
    -------
    Affine or DisplacementField
        A field is on the grid of the file, if that has one.

    Raises
    ------
    InputError
        Damaged file, NaN, wrong shape or intent, or numbers that are plainly in another format.
    """
    path = check_readable(path)
    with _named(path), within_memory(path):
        if format is None and _ends(path, (*_NIFTI, ".npz")):
            return _read_undeclared(path, fixed_grid, moving_grid)
        return _read(path, fixed_grid, moving_grid, format)


def read_field(
    path: PathLike,
    grid: Grid | None = None,
    moving_grid: Grid | None = None,
    *,
    format: str | None = None,
) -> DisplacementField:
    """Read any transform as a displacement field; see `read_transform`.

    Parameters
    ----------
    path, moving_grid, format
        See `read_transform`.
    grid : Grid, optional
        Grid of the fixed image. A field that is on another grid, which is told by its file, is
        resampled onto it, with a warning. Transforms without a grid of their own need it.

    Raises
    ------
    InputError
        See `read_transform`.
    """
    field = read_transform(path, grid, moving_grid, format=format)
    if isinstance(field, Affine):
        if grid is None:
            raise InputError(f"{path}: a transform without a grid of its own; give the fixed image")
        return field.to_displacement(grid, moving_grid)
    return field if grid is None else onto_grid(field, grid, path)


def onto_grid(field: DisplacementField, grid: Grid, path: PathLike) -> DisplacementField:
    """Field of a file on the grid of an image, resampled with a warning where it is not on it."""
    if field.fixed_grid.same_as(grid, tolerance=1e-2):
        return DisplacementField(field.disp, grid, field.moving_grid)
    _log.warning("%s: field is on another grid; resampled onto that of the image", path)
    return field.resample_to(grid)


def read_voxels(path: PathLike, grid: Grid) -> NDArray[np.float32]:
    """Displacements (3, X, Y, Z) of a field of the challenge just as they are in the file.

    They lead from voxels to voxels, which is how the challenge's evaluation reads them;
    `DisplacementField.between_voxels` makes a field of them.

    Parameters
    ----------
    path : path
        NIfTI.
    grid : Grid
        Grid of the fixed image, whose shape the field must have.

    Raises
    ------
    InputError
        See `read_transform`.
    """
    path = check_readable(path)
    with _named(path), within_memory(path):
        return challenge.voxels(read_nifti(path), grid)


def grids_of_file(path: PathLike) -> tuple[Grid, Grid] | None:
    """Grids of the fixed and the moving image that a field in voxels names; None if it does not.

    Raises
    ------
    InputError
        No such file, or damaged.
    """
    path = check_readable(path)
    return challenge.stored_grids(
        *(read_notes(path) if _ends(path, _NIFTI) else (read_note(path),))
    )


def write_field(
    path: PathLike,
    disp: NDArray[Any] | DisplacementField,
    grid: Grid | None,
    moving_grid: Grid | None = None,
    *,
    format: FieldFormat = "l2r",
    overwrite: bool = False,
) -> Path:
    """Write a displacement field; the file appears under its name only when it is complete.

    Parameters
    ----------
    path : path
        Ends in .nii or .nii.gz; .npz for "npz" and "torch", also .npy; also .mha, .nrrd or .h5 for
        "itk".
    disp : (3, X, Y, Z) ndarray or DisplacementField
        Displacements in voxels of `grid`.
    grid : Grid or None
        Grid of the fixed image; None is that of a DisplacementField, and for an array 1 mm along
        its axes.
    moving_grid : Grid, optional
        Grid of the moving image, if it is another one; it matters to FSL and torch. By default that
        of a DisplacementField.
    format : str
        "l2r": challenge format, float32 ``(X,Y,Z,3)`` voxels with identity affine, from voxels of
        the fixed to voxels of the moving image. "itk": float32 ``(X,Y,Z,1,3)`` LPS mm, for ITK,
        ANTs and SimpleITK. "npz": as "l2r", float32 ``(3,X,Y,Z)``. The others: see
        `read_transform`.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        `disp` has the wrong shape or holds NaN.
    GeometryError
        "itk" on a grid with sheared axes, which ITK does not read; a DisplacementField that is on
        another grid than `grid`.
    OutputError
        The file exists, has the wrong ending, or cannot be written.
    """
    if isinstance(disp, DisplacementField):
        if grid is not None and not disp.fixed_grid.same_as(grid, tolerance=1e-2):
            raise GeometryError(f"{path}: not written, the field is on another grid than the image")
        grid, moving_grid = grid or disp.fixed_grid, moving_grid or disp.moving_grid
        disp = disp.disp
    if grid is None:
        if np.ndim(disp) != 4:
            raise InputError(f"{path}: field of {np.ndim(disp)} dimensions; (3, X, Y, Z) is needed")
        _, nx, ny, nz = np.shape(disp)
        grid = Grid.identity((nx, ny, nz))
    try:
        field = DisplacementField(disp, grid, moving_grid)
    except InputError as err:
        raise InputError(f"{path}: not written, {err}") from err
    return _write_field(path, field, format, overwrite)


def write_transform(
    path: PathLike,
    transform: Affine | DisplacementField,
    fixed_grid: Grid | None = None,
    moving_grid: Grid | None = None,
    *,
    format: str,
    overwrite: bool = False,
) -> Path:
    """Write a transform in any of the formats of `read_transform`.

    Parameters
    ----------
    path : path
        See `write_field`; an affine in format "itk" ends in .tfm, .txt, .mat or .h5, a matrix in
        anything.
    transform : Affine or DisplacementField
        An affine is written as a field where the format or the ending is that of a field.
    fixed_grid, moving_grid : Grid, optional
        Of the images, where `transform` is an affine and the format needs them.
    format : str
        See `read_transform`.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        A field where the format holds an affine, or a grid that is missing.
    OutputError
        See `write_field`.
    """
    if isinstance(transform, DisplacementField):
        if format in _MATRIX_WRITERS or (format == "itk" and _ends(path, (".tfm", ".txt", ".mat"))):
            raise InputError(f"{path}: the transform is no affine; write it as a field")
        return _write_field(path, transform, format, overwrite)
    if format in _MATRIX_WRITERS:
        return _MATRIX_WRITERS[format](path, transform, fixed_grid, moving_grid, overwrite)
    if holds_affine(path, format):
        return itk.affine_to_file(path, transform, overwrite)
    if fixed_grid is None:
        raise InputError(f"{path}: an affine becomes a field on a grid; give the fixed image")
    field = transform.to_displacement(fixed_grid, moving_grid)
    return _write_field(path, field, format, overwrite)


def holds_affine(path: PathLike, format: str) -> bool:
    """Whether `write_transform` writes an affine as such, not as a field."""
    return format in _MATRIX_WRITERS or (format == "itk" and _ends(path, itk.AFFINES))


def _write_field(path: PathLike, field: DisplacementField, format: str, overwrite: bool) -> Path:
    if format not in _FIELD_WRITERS:
        known = ", ".join(_FIELD_WRITERS)
        raise OutputError(f"{path}: field format '{format}' does not exist; use one of {known}")
    return _FIELD_WRITERS[format](path, field, overwrite)


def _read_undeclared(
    path: Path, fixed: Grid | None, moving: Grid | None
) -> Affine | DisplacementField:
    """`_read` of a file that may be a field in voxels, where nobody says so."""
    stored = read_nifti(path) if _ends(path, _NIFTI) else None
    format = "npz" if stored is None else _nifti_format(stored)
    said = challenge.stored_grids(*((read_note(path),) if stored is None else stored.notes))
    if format not in ("npz", "l2r") or said is not None:
        return _read(path, fixed, moving, format, stored)
    field = _read(path, fixed, None, format, stored)
    assert isinstance(field, DisplacementField)
    if fixed is not None and moving is not None and not moving.same_as(fixed):
        _log.warning(
            "%s: does not say what grid it leads to, and the images are on two; taken for a "
            "displacement in the world (from voxels to voxels: optreg convert --from %s)",
            path,
            format,
        )
    return DisplacementField(field.disp, field.fixed_grid, moving)


def _read(
    path: Path,
    fixed: Grid | None,
    moving: Grid | None,
    format: str | None,
    stored: StoredVolume | None = None,
) -> Affine | DisplacementField:
    if format is not None and format not in FORMATS:
        raise InputError(f"format '{format}' does not exist; use one of {', '.join(FORMATS)}")
    if _ends(path, _NIFTI) and (format is None or format in _NIFTI_READERS):
        stored = stored or read_nifti(path)
        return _NIFTI_READERS[format or _nifti_format(stored)](stored, fixed, moving)
    format = format or _format_of_ending(path)
    for name, endings, reader in _READERS:
        if name == format and _ends(path, endings):
            return reader(path, fixed, moving)
    raise InputError(f"format {format} has no such ending; name the right format, or rename it")


def _nifti_format(stored: StoredVolume) -> str:
    shape = stored.array.shape
    if stored.intent in fsl.INTENTS:
        return "fsl"
    if len(shape) == 5 and shape[3:] == (1, 3) and stored.intent not in itk.INTENTS:
        raise InputError(
            f"five axes but intent {stored.intent}, an ITK field has intent 1007; name its "
            "format (optreg convert --from)"
        )
    if positions.is_niftyreg(stored):
        return "spm"
    return "itk" if stored.intent in itk.INTENTS else "l2r"


def _format_of_ending(path: Path) -> str:
    if _ends(path, (".npz",)):
        return "npz"
    if _ends(path, (".mat", ".txt", ".xfm")) and matrix.is_matrix(path):
        raise InputError(
            "is a bare 4x4 matrix; name its format (optreg convert --from flirt or ras)"
        )
    if _ends(path, (*itk.IMAGES, *itk.TRANSFORMS)):
        return "itk"
    if _ends(path, NUMPY):
        raise InputError("a bare array may hold anything; name its format (optreg convert --from)")
    known = ", ".join((*_NIFTI, ".npz", *itk.IMAGES, *itk.TRANSFORMS))
    raise InputError(f"unknown field format; convert it to one of {known}")


def _ends(path: PathLike, endings: tuple[str, ...]) -> bool:
    return str(path).lower().endswith(endings)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let errors begin with the file."""
    try:
        yield
    except InputError as err:
        text = str(err)
        kind = GeometryError if isinstance(err, GeometryError) else InputError
        raise kind(text if text.startswith(str(path)) else f"{path}: {text}") from err
