"""Images and label maps: any supported file in, NIfTI out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from optreg.errors import ConfigError, GeometryError, InputError, OutputError
from optreg.grid import Grid
from optreg.image import Image, check_size
from optreg.io.files import PathLike, check_readable, within_memory
from optreg.io.itk import read_itk
from optreg.io.nifti import StoredVolume, read_mgh, read_nifti, write_nifti

__all__ = ["PICK_ONE", "REPLACE_THEM", "load_image", "save_image"]

_log = logging.getLogger("optreg")

_VECTOR_INTENTS = (1006, 1007)

PICK_ONE = "extract one of them"
"""End of the error for several volumes; a command with an option for that names it instead."""
REPLACE_THEM = "replace them by numbers first"
"""End of the error for NaN and infinite voxels; likewise."""


def load_image(path: PathLike, *, volume: int | None = None, nan_to: float | None = None) -> Image:
    """Read one 3-D volume, or a single slice as (X, Y, 1).

    Formats: NIfTI (.nii, .nii.gz), FreeSurfer (.mgh, .mgz), MetaImage (.mha), NRRD (.nrrd).

    Parameters
    ----------
    path : path
        File to read.
    volume : int, optional
        Which volume of a 4-D file, from 0; a file with one volume has no other.
    nan_to : float, optional
        Finite value that replaces NaN and infinite voxels; without it they are an error.

    Returns
    -------
    Image
        Data in the stored type (scaled files: float), C-contiguous; affine in RAS mm.

    Raises
    ------
    InputError
        The file cannot be read, is damaged, is not a scalar image of at least 8 voxels an axis
        (of a single slice: two axes), or holds NaN or infinite voxels.
    GeometryError
        Its affine cannot be used.
    ConfigError
        `nan_to` is no number that float32 holds.
    """
    if nan_to is not None and not abs(nan_to) <= float(np.finfo(np.float32).max):
        raise ConfigError(f"NaN and infinite voxels cannot become {nan_to:g}; give a finite number")
    path = check_readable(path)
    with within_memory(path):
        stored = _read(path)
        data = stored.values(_one_volume(stored, path, volume))
        check_size(data.shape, str(path))
        data = _without_nan(data, path, nan_to)
    try:
        nx, ny, nz = data.shape
        grid = Grid((nx, ny, nz), stored.affine, stored.space)
    except GeometryError as err:
        raise GeometryError(f"{path}: {err}") from err
    return Image(data, grid, str(path))


def save_image(
    path: PathLike,
    data: NDArray[Any],
    grid: Grid,
    *,
    dtype: DTypeLike | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a volume as NIfTI; the file appears under its name only when it is complete.

    Parameters
    ----------
    path : path
        Ends in .nii or .nii.gz.
    data : (X, Y, Z) ndarray
        Finite real values.
    grid : Grid
        Geometry of `data`.
    dtype : numpy dtype, optional
        Type to store; values are rounded for an integer type. By default that of `data`, or the
        nearest type that other programs read (bool as uint8, 64-bit integers as int32 where they
        fit).
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        `data` holds NaN, is no array of real numbers, or does not fit into `dtype`.
    GeometryError
        `data` has another shape than `grid`.
    OutputError
        The file exists, or cannot be written; NIfTI has no type `dtype`.
    """
    data = np.asarray(data)
    if data.shape != grid.shape:
        raise GeometryError(f"{path}: data {data.shape} do not fit the grid {grid.shape}")
    if data.dtype.kind not in "biuf":
        raise InputError(f"{path}: voxels of type {data.dtype} cannot be saved; use real numbers")
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        raise InputError(f"{path}: NaN or infinite voxels are not saved; replace them first")
    wanted = _storable(data) if dtype is None else np.dtype(dtype).newbyteorder("=")
    if wanted.kind not in "iuf" or (wanted.itemsize == 2 and wanted.kind == "f"):
        raise OutputError(f"{path}: NIfTI has no type {wanted}; use an integer or float32")
    return write_nifti(
        path, _cast(data, wanted, path), grid.affine, space=grid.space, overwrite=overwrite
    )


def _read_itk(path: Path) -> StoredVolume:
    return StoredVolume(*read_itk(path))


_READERS: dict[str, Callable[[Path], StoredVolume]] = {
    ".nii": read_nifti,
    ".nii.gz": read_nifti,
    ".mgh": read_mgh,
    ".mgz": read_mgh,
    ".mha": _read_itk,
    ".nrrd": _read_itk,
}


def _read(path: Path) -> StoredVolume:
    for suffix, reader in _READERS.items():
        if path.name.lower().endswith(suffix):
            return reader(path)
    raise InputError(f"{path}: unknown image format; convert it to one of {', '.join(_READERS)}")


def _one_volume(stored: StoredVolume, path: Path, volume: int | None) -> NDArray[Any]:
    """The 3-D part of `stored` that is asked for."""
    array = stored.array
    extra = tuple(n for n in array.shape[3:] if n > 1)
    if stored.intent in _VECTOR_INTENTS and extra:
        raise InputError(f"{path}: is a displacement field; name an image here")
    if len(extra) > 1:
        raise InputError(f"{path}: has {array.ndim} dimensions {array.shape}; extract one volume")
    space = (*array.shape[:3], 1)[:3]  # of two axes: a single slice
    array = array.reshape(*space, -1, order="F" if array.flags.f_contiguous else "C")
    count = array.shape[3]
    if count == 1:  # nothing to pick, so that a 4-D image can be registered to a 3-D one
        volume = 0
    if volume is None:
        raise InputError(f"{path}: holds {count} volumes; {PICK_ONE}")
    if not 0 <= volume < count:
        raise InputError(f"{path}: has no volume {volume}; the last one is {count - 1}")
    return array[..., volume]


def _without_nan(data: NDArray[Any], path: Path, nan_to: float | None) -> NDArray[Any]:
    if data.dtype.kind != "f":
        return data
    finite = np.isfinite(data)
    if finite.all():
        return data
    bad = ~finite
    count = int(bad.sum())
    if nan_to is None:
        first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
        raise InputError(
            f"{path}: {count} NaN or infinite voxels, the first at {first}; {REPLACE_THEM}"
        )
    _log.info("%s: %d NaN or infinite voxels replaced by %g", path, count, nan_to)
    return np.where(bad, data.dtype.type(nan_to), data)


def _storable(data: NDArray[Any]) -> np.dtype[Any]:
    kind, size = data.dtype.kind, data.dtype.itemsize
    if kind == "b":
        return np.dtype(np.uint8)
    if kind == "f":
        return np.dtype(np.float64 if size > 4 else np.float32)
    if size == 8 and data.size:
        limits = np.iinfo(np.int32)
        if limits.min <= data.min() and data.max() <= limits.max:
            return np.dtype(np.int32)
    return data.dtype.newbyteorder("=")


def _cast(data: NDArray[Any], wanted: np.dtype[Any], path: PathLike) -> NDArray[Any]:
    if wanted.kind == "f" or data.dtype.kind == "b":
        with np.errstate(over="ignore"):
            cast = data.astype(wanted)
        if not np.isfinite(cast).all():
            raise InputError(f"{path}: values overflow {wanted}; save as float64")
        return cast
    rounded = np.rint(data) if data.dtype.kind == "f" else data
    limits = np.iinfo(wanted)
    low, high = rounded.min().item(), rounded.max().item()
    if low < limits.min or high > limits.max:
        raise InputError(
            f"{path}: values {low:g} to {high:g} do not fit into {wanted}; choose a wider type"
        )
    return rounded.astype(wanted)
