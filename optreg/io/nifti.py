"""NIfTI-1/2 and FreeSurfer MGH: headers read with suspicion, voxels read within stated bounds.

nibabel supplies the header layouts; what to believe in a header is decided here, because nibabel
repairs or accepts several faults in silence and reads the voxels before the damage shows.
"""

from __future__ import annotations

import logging
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from optreg.errors import GeometryError, InputError, OutputError
from optreg.grid import SPACES
from optreg.io.files import (
    PathLike,
    check_readable,
    fortran_pieces,
    gzip_pieces,
    open_input,
    read_exactly,
    write_atomic,
)

__all__ = ["StoredVolume", "read_mgh", "read_nifti", "read_notes", "write_nifti"]

_log = logging.getLogger("optreg")

_NIFTI_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4",
    1024: "i8", 1280: "u8",
}  # fmt: skip
_MGH_TYPES = {0: "u1", 1: "i4", 3: "f4", 4: "i2", 10: "u2"}
_MM_PER_UNIT = {1: ("metre", 1e3), 2: ("mm", 1.0), 3: ("micron", 1e-3)}
_LARGEST_DISAGREEMENT = 1e-3
_COMMENT = 6
"""Code of a header extension that is text."""
_LONGEST_NOTES = 1 << 16
"""Bytes of header extensions that are looked at."""


@dataclass(frozen=True, eq=False)
class StoredVolume:
    """Voxels as stored in a file, with what is needed to make sense of them.

    Attributes
    ----------
    array : ndarray
        At least three axes, first axis fastest in memory, before scaling.
    affine : (4, 4) ndarray
        Voxel to RAS mm; not yet checked for being invertible.
    slope, inter : float
        Value = stored * slope + inter; 1 and 0 for none.
    space : int
        See `optreg.grid.Grid`.
    intent : int
        NIfTI intent code, 0 elsewhere.
    intent_name : str
        What the program that wrote a NIfTI file calls its content.
    intent_p1 : float
        First parameter of the intent.
    notes : tuple of str
        Header extensions of a NIfTI file that are text (code 6, "comment").
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]
    slope: float = 1.0
    inter: float = 0.0
    space: int = 1
    intent: int = 0
    intent_name: str = ""
    intent_p1: float = 0.0
    notes: tuple[str, ...] = ()

    def values(self, part: NDArray[Any]) -> NDArray[Any]:
        """`part` of `array` scaled, C-contiguous, in native byte order.

        Unscaled voxels keep their type, so that labels stay integers.
        """
        native = part.dtype.newbyteorder("=")
        if (self.slope, self.inter) == (1.0, 0.0):
            return np.ascontiguousarray(part, native)
        # float32 holds every value of 8- and 16-bit integers; wider types need float64.
        with np.errstate(over="ignore", invalid="ignore"):  # infinities are reported by the caller
            out = np.ascontiguousarray(part, np.result_type(native, np.float32))
            out = out.copy() if np.shares_memory(out, part) else out
            out *= self.slope
            out += self.inter
        return out


def read_nifti(path: PathLike) -> StoredVolume:
    """Read a single-file NIfTI-1 or NIfTI-2 image, plain or gzipped.

    Raises
    ------
    InputError
        Not NIfTI, damaged, truncated, fewer than three axes, or voxels that are not real numbers.
    GeometryError
        Zero voxel size, or no usable affine.
    """
    path = Path(path)
    with open_input(path) as file:
        header = _nifti_header(file.read(540), path)
        shape = _nifti_shape(header, path)
        code = int(header["datatype"])
        if code not in _NIFTI_TYPES:
            raise InputError(
                f"{path}: voxels are of type {_type_name(code)}; convert them to one real number "
                "a voxel"
            )
        dtype = np.dtype(_NIFTI_TYPES[code]).newbyteorder(header.endianness)
        # A damaged header may hold anything, NaN that signals among it; Grid judges the affine.
        with np.errstate(over="ignore", invalid="ignore"):
            slope, inter = _nifti_scaling(header, path)
            affine = _nifti_affine(header, path)
        offset = _nifti_offset(header, path)
        notes = _nifti_notes(file, header, offset)
        array = _read_voxels(file, path, offset, shape, dtype)
    codes = (int(header[form]) for form in ("sform_code", "qform_code"))
    space = next((code for code in codes if code > 0), 1)  # of the form that the affine is from
    space = space if space in SPACES else 1
    name = bytes(header["intent_name"]).partition(b"\0")[0].decode("latin-1")
    intent = int(header["intent_code"]), name, float(header["intent_p1"])
    return StoredVolume(array, affine, slope, inter, space, *intent, notes)


def read_shape(path: PathLike) -> tuple[int, ...] | None:
    """Shape that the header of a NIfTI file states, without reading voxels; None for other files.

    Raises
    ------
    InputError
        No such file, or damaged.
    """
    path = check_readable(path)
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return None
    with open_input(path) as file:
        return _nifti_shape(_nifti_header(file.read(540), path), path)


def read_notes(path: PathLike) -> tuple[str, ...]:
    """`StoredVolume.notes` of a NIfTI file, without reading its voxels.

    Raises
    ------
    InputError
        No such file, or damaged.
    """
    path = Path(path)
    with open_input(path) as file:
        header = _nifti_header(file.read(540), path)
        return _nifti_notes(file, header, _nifti_offset(header, path))


def read_mgh(path: PathLike) -> StoredVolume:
    """Read a FreeSurfer .mgh or .mgz image (big-endian, voxels from byte 284).

    Raises
    ------
    InputError
        Not MGH, damaged, truncated, or of an unknown voxel type.
    """
    path = Path(path)
    with open_input(path) as file:
        start = file.read(284)
        if len(start) < 284 or struct.unpack(">i", start[:4]) != (1,):
            raise InputError(f"{path}: is not an MGH file; check its name and format")
        _, *dims, code, _, has_geometry = struct.unpack(">7ih", start[:30])
        if min(dims) < 1:
            raise InputError(f"{path}: header states impossible dimensions {dims}; file damaged")
        if code not in _MGH_TYPES:
            raise InputError(f"{path}: unknown MGH voxel type {code}; convert it to float")
        numbers = np.array(struct.unpack(">15f", start[30:90]))
        spacing, axes, centre = numbers[:3], numbers[3:12].reshape(3, 3).T, numbers[12:]
        if has_geometry <= 0:  # FreeSurfer's stated default: coronal slices, 1 mm, centred
            _log.warning("%s: no geometry stored; 1 mm voxels and axes LIA are used", path)
            spacing, axes = np.ones(3), np.array([[-1, 0, 0], [0, 0, 1], [0, -1, 0]])
            centre = np.zeros(3)
        affine = np.eye(4)
        with np.errstate(over="ignore", invalid="ignore"):  # judged by Grid
            affine[:3, :3] = axes * spacing
            affine[:3, 3] = centre - affine[:3, :3] @ (np.array(dims[:3]) / 2)
        dtype = np.dtype(_MGH_TYPES[code]).newbyteorder(">")
        array = _read_voxels(file, path, 284, tuple(dims), dtype)
    return StoredVolume(array, affine)


def write_nifti(
    path: PathLike,
    data: NDArray[Any],
    affine: NDArray[np.float64],
    *,
    intent: int = 0,
    note: str = "",
    space: int = 1,
    overwrite: bool = False,
) -> Path:
    """Write an array with a RAS mm affine as NIfTI-1, gzipped if the name ends in ``.gz``.

    Both sform and qform are set unless the axes are sheared, which only the sform can hold.
    `note` becomes a header extension, which other programs pass over.

    Raises
    ------
    OutputError
        The name does not end in .nii or .nii.gz, the array does not fit NIfTI-1, or see
        `optreg.io.files.write_atomic`.
    """
    import nibabel as nib

    name = str(path).lower()
    if not name.endswith((".nii", ".nii.gz")):
        raise OutputError(f"{path}: the format written here is NIfTI; end the name in .nii.gz")
    if max(data.shape) > 32767:
        raise OutputError(f"{path}: NIfTI-1 cannot hold {data.shape} voxels; crop the image")
    header = nib.Nifti1Header()
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    header.set_sform(affine, space)
    header.set_qform(affine, space, strip_shears=True)
    if np.abs(header.get_qform() - affine).max() > _LARGEST_DISAGREEMENT:
        header["qform_code"] = 0
    header.set_xyzt_units("mm")
    header.set_slope_inter(1, 0)
    header["intent_code"] = intent
    extension = _extension(note) if note else b""
    header["vox_offset"] = 352 + len(extension)
    header["magic"] = b"n+1"

    def pieces() -> Any:
        yield header.binaryblock + bytes([bool(note), 0, 0, 0]) + extension
        yield from fortran_pieces(data)

    stream = gzip_pieces(pieces(), data.dtype.kind == "f") if name.endswith(".gz") else pieces()
    return write_atomic(path, stream, overwrite)


def _read_voxels(
    file: IO[bytes], path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    file.seek(0)
    buffer = read_exactly(file, path, offset, math.prod(shape) * dtype.itemsize)
    return buffer.view(dtype).reshape(shape, order="F")


def _extension(note: str) -> bytes:
    text = note.encode()
    size = -(-(8 + len(text)) // 16) * 16
    return struct.pack("<2i", size, _COMMENT) + text.ljust(size - 8, b"\0")


def _nifti_notes(file: IO[bytes], header: Any, offset: int) -> tuple[str, ...]:
    """Text between header and voxels. What is no sound extension ends the search, not the file."""
    start = 348 if int(header["sizeof_hdr"]) == 348 else 540
    end = min(offset, start + _LONGEST_NOTES)
    file.seek(0)
    block = file.read(end)[start:]
    notes, at = [], 4
    while block[:1] == b"\1" and at + 8 <= len(block):
        size, code = struct.unpack(f"{header.endianness}2i", block[at : at + 8])
        if size < 8 or at + size > len(block):
            break
        if code == _COMMENT:
            notes.append(block[at + 8 : at + size].rstrip(b"\0").decode(errors="replace"))
        at += size
    return tuple(notes)


def _nifti_header(start: bytes, path: Path) -> Any:
    import nibabel as nib

    for order in "<>":
        size = struct.unpack(f"{order}i", start[:4]) if len(start) >= 4 else (0,)
        if size == (348,) and len(start) >= 348 and start[344:347] == b"n+1":
            return nib.Nifti1Header(start[:348], order, check=False)
        if size == (540,) and len(start) >= 540 and start[4:7] == b"n+2":
            return nib.Nifti2Header(start, order, check=False)
        if size == (348,) and start[344:347] == b"ni1":
            raise InputError(f"{path}: header of a .hdr/.img pair; convert it to one .nii.gz file")
    raise InputError(f"{path}: is not a NIfTI file; check its name, or copy it again")


def _nifti_shape(header: Any, path: Path) -> tuple[int, ...]:
    dims = [int(n) for n in header["dim"]]
    if not 1 <= dims[0] <= 7 or min(dims[1 : dims[0] + 1]) < 1:
        raise InputError(f"{path}: header states impossible dimensions {dims}; file damaged")
    if dims[0] < 2:
        raise InputError(f"{path}: image of {dims[0]} dimensions; 3 or 2 are needed")
    return (dims[1], dims[2], 1) if dims[0] == 2 else tuple(dims[1 : dims[0] + 1])


def _type_name(code: int) -> str:
    import nibabel as nib

    try:
        return str(nib.nifti1.data_type_codes.label[code])
    except KeyError:
        return f"{code}, unknown to NIfTI"


def _nifti_offset(header: Any, path: Path) -> int:
    offset = float(header["vox_offset"])
    least = 352 if int(header["sizeof_hdr"]) == 348 else 544
    if offset == 0:
        return least
    if not least <= offset < 1 << 62:  # false for NaN too
        raise InputError(f"{path}: header puts the voxels at byte {offset:g}; file damaged")
    return int(offset)


def _nifti_scaling(header: Any, path: Path) -> tuple[float, float]:
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0:  # NIfTI's way of saying "not scaled"
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(inter)):
        raise InputError(
            f"{path}: intensity scaling is {slope:g} and {inter:g}; set scl_slope 1, scl_inter 0"
        )
    return slope, inter


def _nifti_affine(header: Any, path: Path) -> NDArray[np.float64]:
    """Sform where its code is positive, else qform, else voxel sizes; in mm."""
    qfac = float(header["pixdim"][0])
    if int(header["dim"][0]) == 2 and not float(header["pixdim"][3]) > 0:
        header["pixdim"][3] = 1  # nothing needs it
    _repair_pixdim(header, path)
    has_sform, has_qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    qform = _qform(header) if has_qform else None
    if has_sform:
        affine = np.asarray(header.get_sform(), np.float64)
        if has_qform and (
            qform is None or not np.allclose(affine, qform, rtol=0, atol=_LARGEST_DISAGREEMENT)
        ):
            _log.warning("%s: sform and qform disagree; the sform is used", path)
    elif qform is not None:
        affine = qform
        if abs(qfac) != 1:
            _log.warning("%s: qfac (pixdim[0]) is %g; 1 is used", path, qfac)
    elif has_qform:
        raise GeometryError(f"{path}: the quaternion of the qform is invalid; repair the header")
    else:
        # NIfTI's "method 1". ITK and nibabel flip an axis or two here, which cannot be told from
        # the file: hence the warning.
        _log.warning(
            "%s: sform and qform codes are both 0; voxel sizes alone are used, and array axes "
            "taken as right, front, up",
            path,
        )
        affine = np.diag([*np.asarray(header["pixdim"][1:4], np.float64), 1.0])
    unit, scale = _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, ("unknown", 1.0))
    if unit == "unknown":
        _log.info("%s: unit of length not stated; mm assumed", path)
    elif unit != "mm":
        _log.warning("%s: unit of length is %s; converted to mm", path, unit)
    return np.diag([scale, scale, scale, 1.0]) @ affine


def _repair_pixdim(header: Any, path: Path) -> None:
    sizes = np.asarray(header["pixdim"][1:4], np.float64)
    if not np.isfinite(sizes).all() or (sizes == 0).any():
        raise GeometryError(f"{path}: voxel size {sizes} in the header; repair pixdim")
    if (sizes < 0).any():
        _log.warning("%s: negative voxel size %s; the sign is dropped", path, sizes)
        header["pixdim"][1:4] = abs(sizes)
    if abs(float(header["pixdim"][0])) != 1:
        header["pixdim"][0] = 1


def _qform(header: Any) -> NDArray[np.float64] | None:
    """The qform's affine, None where its quaternion is not one."""
    numbers = [float(header[f"quatern_{axis}"]) for axis in "bcd"]
    length = sum(n * n for n in numbers)
    if not length <= 1 + 1e-5:  # the tolerance of float32; false for NaN
        return None
    if length > 1:
        for axis, number in zip("bcd", numbers, strict=True):
            header[f"quatern_{axis}"] = number / math.sqrt(length)
    try:
        return np.asarray(header.get_qform(), np.float64)
    except ValueError:
        return None
