"""Overlap of label maps: the Dice coefficient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from optreg.image import as_label_map
from optreg.kernels.cpu.labels import warp_labels
from optreg.metrics._labels import compact_labels, label_counts, label_list
from optreg.metrics._validate import as_field, same_shape


def warp_label_map(moving_labels: np.ndarray, disp: np.ndarray) -> np.ndarray:
    """Warp moving labels to the fixed grid by nearest neighbour, as challenge evaluators do.

    Parameters
    ----------
    moving_labels : ndarray (X, Y, Z)
        Label map on the grid of the field.
    disp : ndarray (3, X, Y, Z)
        Displacement in voxels, ``warped(x) = moving(x + disp(x))``.

    Returns
    -------
    ndarray (X, Y, Z)
        0 where a position leaves the image (not clamped to the edge).

    Raises
    ------
    InputError
        For a field or label map that cannot be used, or of another shape.
    """
    field = as_field(disp)
    labels = as_label_map(moving_labels, "moving labels")
    same_shape(labels, "moving labels", field.shape[1:], "displacement field")
    return warp_labels(labels, field)


def dice(
    fixed_labels: np.ndarray,
    warped_labels: np.ndarray,
    *,
    labels: Sequence[int] | None = None,
    moving_labels: np.ndarray | None = None,
) -> dict[int, float]:
    """Dice coefficient ``2 |A & B| / (|A| + |B|)`` per label.

    Parameters
    ----------
    fixed_labels, warped_labels : ndarray (X, Y, Z)
        Label maps on one grid; ``warped_labels`` are the moving labels after registration.
    labels : sequence of int, optional
        Which labels; all that occur in the fixed or the moving map if absent, with background 0.
    moving_labels : ndarray, optional
        The label map before warping (any shape). It tells a label that the moving image never had
        (skipped, NaN) from one that the field removed (0); without it the warped map decides.

    Returns
    -------
    dict of int to float
        0 to 1 per label, NaN where a label is missing in the fixed or the moving map.

    Raises
    ------
    InputError
        For maps that do not fit each other or hold anything but labels.
    """
    fixed = as_label_map(fixed_labels, "fixed labels")
    warped = as_label_map(warped_labels, "warped labels")
    same_shape(fixed, "fixed labels", warped.shape, "warped labels")
    before = warped if moving_labels is None else as_label_map(moving_labels, "moving labels")
    fixed_count, moving_count = label_counts(fixed), label_counts(before)
    wanted = label_list(labels, fixed_count, moving_count)

    # One histogram of label pairs instead of one pass over the volume per label.
    compact_fixed, compact_warped = compact_labels(fixed, wanted), compact_labels(warped, wanted)
    n = len(wanted)
    size_fixed = np.bincount(compact_fixed.reshape(-1), minlength=n + 1)
    size_warped = np.bincount(compact_warped.reshape(-1), minlength=n + 1)
    common = np.bincount(compact_fixed[compact_fixed == compact_warped], minlength=n + 1)
    result = {}
    for index, label in enumerate(wanted):
        if fixed_count.get(label) and moving_count.get(label):
            size = int(size_fixed[index]) + int(size_warped[index])
            result[label] = 2.0 * int(common[index]) / size
        else:
            result[label] = float("nan")
    return result


def mean_over_labels(values: Mapping[int, float], *, background: bool = True) -> float:
    """Mean of a metric over labels, those without a value (NaN) left out.

    Parameters
    ----------
    values : mapping of int to float
        As ``dice`` and ``hd95`` return it.
    background : bool
        Whether label 0 counts, as it does in the LUMIR evaluation.

    Returns
    -------
    float
        NaN if no label has a value.
    """
    kept = [
        value
        for label, value in values.items()
        if (background or label != 0) and not np.isnan(value)
    ]
    return float(np.mean(kept)) if kept else float("nan")
