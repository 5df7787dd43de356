"""A volume together with its place in the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optreg.errors import GeometryError, InputError
from optreg.grid import Grid

__all__ = ["LARGEST_LABEL", "Image", "array_of", "as_label_map", "check_size"]

_SMALLEST_SIZE = 8
"""Voxels an axis must have: below it a window or a pyramid level has nothing to work on."""

LARGEST_LABEL = 1_000_000
"""Larger numbers are no anatomy but a scan loaded by mistake, and would need huge tables."""

_OWN_GEOMETRY = ("affine", "GetDirection", "direction")
"""What images of other libraries know of their place in the world, each by another name."""
_AS_IMAGE = "save it and give the path, or optreg.Image(data, optreg.Grid(shape, affine))"


def check_size(shape: tuple[int, ...], name: str) -> None:
    """Raise the InputError of an image that is too small to register, and no single slice."""
    sizes = [n for n in shape if n > 1]
    if len(sizes) < 2 or min(sizes) < _SMALLEST_SIZE:
        raise InputError(
            f"{name}: {'x'.join(map(str, shape))} voxels; at least {_SMALLEST_SIZE} along each "
            "axis are needed, or one for a single slice"
        )


def array_of(source: Any, name: str, remedy: str = _AS_IMAGE) -> NDArray[Any]:
    """Array of anything that is one for NumPy: a list, a tensor on the CPU, an array on disk.

    Parameters
    ----------
    source : array_like
        An array is returned as it is.
    name : str
        What the message calls it.
    remedy : str
        End of the message.

    Raises
    ------
    InputError
        No array of numbers, or an image of another library, whose place in the world would be lost.
    """
    if isinstance(source, np.ndarray):
        return source
    kind = type(source)
    title = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    refused = InputError(f"{name}: {title} cannot be used as it is; {remedy}")
    if any(hasattr(source, known) for known in _OWN_GEOMETRY):
        raise refused
    try:
        array = np.asarray(source)
    # Of rows of different lengths, of a tensor that is elsewhere or still learns.
    except (TypeError, ValueError, RuntimeError) as err:
        raise refused from err
    if array.ndim == 0 or array.dtype.kind not in "buifc":
        raise refused
    return array


def as_label_map(labels: Any, name: str = "labels") -> np.ndarray:
    """Return a label map (X, Y, Z) as integers; whole numbers stored as floats are accepted.

    Raises
    ------
    InputError
        For another dimension, fractions, NaN, negative or huge numbers.
    """
    array = np.asarray(labels)
    if array.ndim != 3 or not array.size:
        raise InputError(f"{name} have shape {array.shape}, not (X, Y, Z)")
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} have type {array.dtype}, not integers")
    low, high = array.min(), array.max()
    # Written so that NaN fails: it compares false with everything.
    if not (low >= 0 and high <= LARGEST_LABEL):
        raise InputError(
            f"{name} range from {low} to {high}; label numbers must be 0 to {LARGEST_LABEL}"
        )
    if array.dtype.kind == "f":
        whole = array.astype(np.int32)
        if not np.array_equal(whole, array):
            raise InputError(f"{name} hold fractions; a label map holds whole numbers")
        return whole
    return array.astype(array.dtype.newbyteorder("="), copy=False)


@dataclass(frozen=True, eq=False)
class Image:
    """Intensities or labels on a grid.

    Parameters
    ----------
    data : (X, Y, Z) ndarray
        Any real dtype; not copied.
    grid : Grid
        Its shape equals that of `data`.
    name : str
        What messages call it, as a rule the path it was read from.

    Raises
    ------
    InputError
        Not three axes.
    GeometryError
        Shape of `data` and of `grid` differ.
    """

    data: NDArray[Any]
    grid: Grid
    name: str = ""

    def __post_init__(self) -> None:
        title = f"{self.name}: " if self.name else ""
        if np.ndim(self.data) != 3:
            raise InputError(
                f"{title}array of {np.ndim(self.data)} dimensions; one 3-D volume is needed"
            )
        if np.shape(self.data) != self.grid.shape:
            raise GeometryError(
                f"{title}data {np.shape(self.data)} do not fit the grid {self.grid.shape}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along the array axes."""
        return self.grid.shape

    @classmethod
    def from_array(cls, data: NDArray[Any], name: str = "") -> Image:
        """Image of an array without geometry: 1 mm voxels, array axes = world axes.

        Two axes are a slice, (X, Y, 1). What NumPy makes an array of is one, too.

        Raises
        ------
        InputError
            Not two or three axes; no array, or an image of another library.
        """
        data = array_of(data, name or "image")
        if data.ndim == 2:
            data = data[:, :, np.newaxis]
        if data.ndim != 3:
            title = f"{name}: " if name else ""
            raise InputError(f"{title}array of {data.ndim} dimensions; one 3-D volume is needed")
        nx, ny, nz = data.shape
        return cls(data, Grid.identity((nx, ny, nz)), name)
