"""Counting and renumbering the labels of label maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from optreg.errors import InputError
from optreg.image import LARGEST_LABEL


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
