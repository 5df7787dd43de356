"""Displacement fields of the challenge, of ITK / ANTs, and .npz, to and from `DisplacementField`.

Each convention is turned into the internal one (see `optreg.transform`) here and nowhere else.
"""

from __future__ import annotations

import logging
import math
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from optreg.errors import GeometryError, InputError, OutputError
from optreg.grid import Grid
from optreg.io.files import PathLike, check_readable, largest_content, write_atomic
from optreg.io.itk import LPS, lps_geometry, lps_to_affine, quiet_itk, read_itk
from optreg.io.nifti import read_nifti, write_nifti
from optreg.transform import DisplacementField

__all__ = ["FieldFormat", "read_field", "write_field"]

_log = logging.getLogger("optreg")

FieldFormat = Literal["l2r", "itk", "npz"]

# NIfTI intent codes: ITK marks its fields as vectors; FSL has a range of its own, whose millimetre
# conventions differ and cannot be told from the numbers.
_ITK_INTENTS = (1006, 1007)
_FSL_INTENTS = range(2006, 2019)
# Share of voxels that a field may send out of the image before it is taken for one in other units.
_LARGEST_SHARE_OUTSIDE = 0.5


def read_field(path: PathLike, grid: Grid | None = None) -> DisplacementField:
    """Read a displacement field or any other ITK transform.

    Parameters
    ----------
    path : path
        - ``.nii``, ``.nii.gz`` with four axes: challenge format, ``(X,Y,Z,3)`` or ``(3,X,Y,Z)`` in
          voxels;
        - the same with five axes ``(X,Y,Z,1,3)`` and intent 1007: ITK / ANTs, LPS mm;
        - ``.npz``: one array in voxels, as the challenge takes it;
        - ``.mha``, ``.nrrd``: ITK vector image, LPS mm;
        - ``.h5``, ``.tfm``, ``.mat``, ``.txt``, ``.xfm``: ITK transform file.
    grid : Grid, optional
        Grid of the fixed image. A field in voxels must have its shape; one in mm is resampled onto
        it where it is given on another grid. Transforms without a grid of their own need it.

    Raises
    ------
    InputError
        Damaged file, NaN, wrong shape or intent, or displacements that look like mm or positions
        where voxels are due.
    """
    path = check_readable(path)
    name = path.name.lower()
    reader = next((r for suffixes, r in _READERS.items() if name.endswith(suffixes)), None)
    if reader is None:
        known = ", ".join(suffix for group in _READERS for suffix in group)
        raise InputError(f"{path}: unknown field format; convert it to one of {known}")
    try:
        field = reader(path, grid)
    except GeometryError as err:
        raise GeometryError(_prefixed(path, err)) from err
    except InputError as err:
        raise InputError(_prefixed(path, err)) from err
    if grid is not None and not field.fixed_grid.same_as(grid, tolerance=1e-2):
        _log.info("%s: field is on another grid; resampled onto that of the image", path)
        return field.resample_to(grid)
    return field


def write_field(
    path: PathLike,
    disp: NDArray[Any],
    grid: Grid | None,
    *,
    format: FieldFormat = "l2r",
    overwrite: bool = False,
) -> Path:
    """Write a displacement field; the file appears under its name only when it is complete.

    Parameters
    ----------
    path : path
        Ends in .nii or .nii.gz for "l2r" and "itk", in .npz for "npz".
    disp : (3, X, Y, Z) ndarray
        Displacements in voxels of `grid`.
    grid : Grid or None
        Grid of the fixed image; None is 1 mm along the array axes.
    format : {"l2r", "itk", "npz"}
        "l2r": challenge format, float32 ``(X,Y,Z,3)`` voxels with identity affine. "itk": float32
        ``(X,Y,Z,1,3)`` LPS mm, for ITK, ANTs and SimpleITK. "npz": float32 ``(3,X,Y,Z)`` voxels.

    Raises
    ------
    InputError
        `disp` has the wrong shape or holds NaN.
    GeometryError
        "itk" on a grid with sheared axes, which ITK does not read.
    OutputError
        The file exists, has the wrong ending, or cannot be written.
    """
    if grid is None:
        if np.ndim(disp) != 4:
            raise InputError(f"{path}: field of {np.ndim(disp)} dimensions; (3, X, Y, Z) is needed")
        _, nx, ny, nz = np.shape(disp)
        grid = Grid.identity((nx, ny, nz))
    try:
        field = DisplacementField(disp, grid)
    except InputError as err:
        raise InputError(f"{path}: not written, {err}") from err
    if format == "l2r":
        stored = np.moveaxis(field.disp, 0, -1)
        return write_nifti(path, stored, np.eye(4), overwrite=overwrite)
    if format == "itk":
        cosines = grid.directions
        if not np.allclose(cosines.T @ cosines, np.eye(3), atol=1e-4):
            raise GeometryError(f"{path}: ITK reads no grid with sheared axes; use format l2r")
        lps = field.to_mm() * LPS.astype(np.float32)[:, None, None, None]
        stored = np.moveaxis(lps, 0, -1)[:, :, :, None, :]
        return write_nifti(path, stored, grid.affine, intent=1007, overwrite=overwrite)
    if format == "npz":
        return _write_npz(path, field.disp, overwrite)
    raise OutputError(f"{path}: field format '{format}' does not exist; use l2r, itk or npz")


def _prefixed(path: Path, err: Exception) -> str:
    text = str(err)
    return text if text.startswith(str(path)) else f"{path}: {text}"


def _read_nifti_field(path: Path, grid: Grid | None) -> DisplacementField:
    stored = read_nifti(path)
    shape, intent = stored.array.shape, stored.intent
    if intent in _FSL_INTENTS:
        raise InputError(f"intent {intent} is an FSL warp; convert it to an ITK field first")
    values = stored.values(stored.array)
    if len(shape) == 5 and shape[3:] == (1, 3):
        if intent not in _ITK_INTENTS:
            raise InputError(f"five axes but intent {intent}; ITK fields have intent 1007")
        return _from_lps(values[:, :, :, 0], stored.affine)
    if intent in _ITK_INTENTS:
        raise InputError(f"intent {intent} of an ITK field but shape {shape}; (X,Y,Z,1,3) is due")
    return _from_voxels(values, stored.affine, grid)


def _read_vector_image(path: Path, grid: Grid | None) -> DisplacementField:
    values, affine = read_itk(path)
    if values.ndim != 4 or values.shape[3] != 3:
        raise InputError(f"shape {values.shape}; a vector image (X,Y,Z) of 3 components is needed")
    return _from_lps(values, affine)


def _read_transform(path: Path, grid: Grid | None) -> DisplacementField:
    import SimpleITK as sitk

    with quiet_itk(path):
        transform = sitk.ReadTransform(str(path)).Downcast()
        if transform.GetDimension() != 3:
            raise InputError(f"transform of {transform.GetDimension()} dimensions; 3 are needed")
        if isinstance(transform, sitk.DisplacementFieldTransform):
            image = transform.GetDisplacementField()
        else:
            if grid is None:
                raise InputError("a transform without a grid of its own; give the fixed image")
            spacing, origin, direction = lps_geometry(grid.affine)
            image = sitk.TransformToDisplacementField(
                transform, sitk.sitkVectorFloat64, grid.shape, origin, spacing, direction
            )
    values = sitk.GetArrayFromImage(image).transpose(2, 1, 0, 3)
    affine = lps_to_affine(image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    return _from_lps(values, affine)


def _read_npz(path: Path, grid: Grid | None) -> DisplacementField:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) != 1:
                raise InputError(f"holds {len(members)} arrays; one is needed")
            with archive.open(members[0]) as file:
                version = np.lib.format.read_magic(file)
                read_header = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, _, dtype = read_header(file)
            # NumPy reserves what the header asks for before it looks at the values.
            if math.prod(shape) * dtype.itemsize > largest_content(path):
                raise InputError(f"header states shape {shape}; the file cannot hold that, damaged")
            with archive.open(members[0]) as file:
                values = np.lib.format.read_array(file, allow_pickle=False)
    except InputError:
        raise
    # A damaged archive can fail in any layer of zipfile, zlib and numpy, each with its own errors.
    except Exception as err:
        raise InputError(f"file damaged or not an .npz field ({err})") from err
    if values.dtype.kind not in "iuf":
        raise InputError(f"values of type {values.dtype}; real numbers are needed")
    return _from_voxels(values, np.eye(4), grid)


def _from_lps(vectors: NDArray[Any], affine: NDArray[np.float64]) -> DisplacementField:
    nx, ny, nz = vectors.shape[:3]
    _require_finite(vectors)
    ras = np.moveaxis(vectors * LPS.astype(np.float32), -1, 0)
    return DisplacementField.from_mm(ras, Grid((nx, ny, nz), affine))


def _from_voxels(
    values: NDArray[Any], affine: NDArray[np.float64], grid: Grid | None
) -> DisplacementField:
    shape = values.shape
    if len(shape) != 4 or 3 not in (shape[0], shape[3]):
        raise InputError(f"shape {shape} is no displacement field; (X,Y,Z,3) or (3,X,Y,Z) is due")
    _require_finite(values)
    last = shape[3] == 3
    if shape[0] == shape[3] == 3 and grid is not None:
        last = shape[:3] == grid.shape
    disp = np.moveaxis(values, -1, 0) if last else values
    if grid is None:
        nx, ny, nz = disp.shape[1:]
        grid = Grid((nx, ny, nz), affine)
    elif disp.shape[1:] != grid.shape:
        raise InputError(
            f"field for {'x'.join(map(str, disp.shape[1:]))} voxels, the fixed image has "
            f"{'x'.join(map(str, grid.shape))}; use the image it was made for"
        )
    field = DisplacementField(disp, grid)
    _require_voxels(field)
    return field


def _require_finite(values: NDArray[Any]) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        first = tuple(int(i) for i in np.unravel_index(int(finite.argmin()), finite.shape))
        raise InputError(f"{int((~finite).sum())} NaN or infinite values, the first at {first}")


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


def _write_npz(path: PathLike, disp: NDArray[np.float32], overwrite: bool) -> Path:
    if not str(path).lower().endswith(".npz"):
        raise OutputError(f"{path}: format npz; end the name in .npz")
    return write_atomic(path, _npz_pieces(disp), overwrite)


class _Collector:
    """Write-only file for zipfile; what was written is taken away piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self.pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Nothing is held back."""

    def taken(self) -> bytes:
        pieces, self.pieces = self.pieces, []
        return b"".join(pieces)


def _npz_pieces(disp: NDArray[np.float32]) -> Iterator[bytes]:
    sink = _Collector()
    # Not numpy.savez_compressed: level 6 takes three times as long for 2 % of the size, and the
    # time stamp makes equal fields different files.
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:  # type: ignore[call-overload]
        entry = zipfile.ZipInfo("arr_0.npy")
        entry.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(entry, "w", force_zip64=True) as file:
            header = np.lib.format.header_data_from_array_1_0(disp)
            np.lib.format.write_array_header_1_0(file, header)
            for component in disp:
                file.write(component.tobytes())
                yield sink.taken()
    yield sink.taken()


_READERS: dict[tuple[str, ...], Callable[[Path, Grid | None], DisplacementField]] = {
    (".nii", ".nii.gz"): _read_nifti_field,
    (".npz",): _read_npz,
    (".mha", ".nrrd"): _read_vector_image,
    (".h5", ".hdf5", ".tfm", ".mat", ".txt", ".xfm"): _read_transform,
}
