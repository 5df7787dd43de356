"""Label maps: checking them, counting and renumbering labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from optreg.errors import InputError

# Larger numbers are no anatomy but a scan loaded by mistake, and would need huge tables.
LARGEST_LABEL = 1_000_000


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


def label_counts(labels: np.ndarray) -> dict[int, int]:
    """Voxels of every label that occurs."""
    counts = np.bincount(labels.reshape(-1))
    return {int(label): int(counts[label]) for label in np.flatnonzero(counts)}


def label_list(
    labels: Iterable[int] | None, fixed: Mapping[int, int], moving: Mapping[int, int]
) -> list[int]:
    """Return the labels asked for, or all that occur in either map, background included."""
    if labels is None:
        return sorted(set(fixed) | set(moving))
    wanted = []
    for label in labels:
        if int(label) != label or not 0 <= label <= LARGEST_LABEL:
            raise InputError(f"label {label!r} is no number from 0 to {LARGEST_LABEL}")
        wanted.append(int(label))
    if not wanted or len(set(wanted)) != len(wanted):
        raise InputError("the list of labels is empty or names a label twice")
    return wanted


def compact_labels(labels: np.ndarray, wanted: Sequence[int]) -> np.ndarray:
    """Renumber labels by their place in ``wanted``; all others become ``len(wanted)``."""
    table = np.full(max(int(labels.max()), *wanted) + 1, len(wanted), np.int32)
    table[list(wanted)] = np.arange(len(wanted))
    if len(wanted) < 256:
        table = table.astype(np.uint8)
    return table[labels]
