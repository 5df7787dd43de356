"""Checks of what the metrics are given: one place, one wording, only ``InputError``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from optreg.errors import InputError


def as_field(disp: Any, name: str = "displacement field") -> np.ndarray:
    """Return ``disp`` as a finite floating array (3, X, Y, Z).

    Objects that carry the field in an attribute ``disp`` (a ``DisplacementField``, a
    ``Registration``) are taken apart.
    """
    array = np.asarray(getattr(disp, "disp", disp))
    if array.ndim != 4 or array.shape[0] != 3:
        hint = ""
        if array.ndim == 4 and array.shape[3] == 3:
            hint = "; move the last axis to the front: numpy.moveaxis(disp, 3, 0)"
        raise InputError(f"{name} has shape {array.shape}, not (3, X, Y, Z){hint}")
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} has type {array.dtype}, not real numbers")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    _require_finite(array, name)
    return array


def _require_finite(array: np.ndarray, name: str) -> None:
    bad = ~np.isfinite(array)
    count = int(bad.sum())
    if count:
        first = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), array.shape))
        raise InputError(f"{name} has {count} NaN or infinite values, the first at index {first}")


def as_mask(mask: Any, shape: tuple[int, ...], name: str = "mask") -> np.ndarray | None:
    """Return ``mask > 0`` as booleans of the given shape (None stays None).

    Greater than zero, not unequal: challenges pass the skull-stripped image itself.
    """
    if mask is None:
        return None
    array = np.asarray(mask)
    same_shape(array, name, shape, "displacement field")
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name} has type {array.dtype}, not numbers")
    inside = array if array.dtype == bool else array > 0
    if not inside.any():
        raise InputError(f"{name} is empty: no voxel is greater than 0")
    return inside


def same_shape(array: np.ndarray, name: str, shape: tuple[int, ...], other: str) -> None:
    """Raise unless ``array`` has ``shape``, that of ``other``."""
    if array.shape != tuple(shape):
        raise InputError(
            f"{name} has shape {array.shape} but {other} {tuple(shape)}; both must be on one grid"
        )


def as_spacing(spacing: Sequence[float]) -> tuple[float, float, float]:
    """Return the voxel size as three positive floats (mm)."""
    values = np.asarray(spacing, dtype=np.float64)
    if values.shape != (3,) or not np.isfinite(values).all() or (values <= 0).any():
        raise InputError(f"spacing is {spacing!r}; three positive lengths in mm are needed")
    return float(values[0]), float(values[1]), float(values[2])


def as_points(points: Any, name: str) -> np.ndarray:
    """Return landmark positions as a finite float64 array (N, 3) with N > 0."""
    try:
        array = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} are not numbers; give an array (N, 3) in voxels") from None
    if array.ndim != 2 or array.shape[1] != 3 or not len(array):
        raise InputError(f"{name} have shape {array.shape}, not (N, 3)")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if bad.size:
        raise InputError(f"{name}: row {bad[0]} is not finite ({bad.size} such rows)")
    return array
