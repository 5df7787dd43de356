"""Inverse consistency: how well a field and its inverse undo each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from optreg.kernels.cpu import compose
from optreg.metrics._validate import as_field, as_mask, same_shape
from optreg.transform.sampling import outside, thickened


class InverseConsistency(NamedTuple):
    """Distance ``|x - inverse(forward(x))|`` over the voxels of a mask.

    Attributes
    ----------
    mean_vox, p99_vox : float
        Mean and 99th percentile in voxels; NaN if every voxel leaves the grid.
    outside_voxels : int
        Voxels of the mask that the forward field sends out of the grid, beyond its outer voxel
        faces, where the inverse is unknown; they are not part of the other two.
    """

    mean_vox: float
    p99_vox: float
    outside_voxels: int


def inverse_consistency(
    disp: np.ndarray, inverse: np.ndarray, mask: np.ndarray | None = None
) -> InverseConsistency:
    """Inverse-consistency error of a pair of displacement fields.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
        Forward displacement in voxels on the fixed grid.
    inverse : ndarray (3, X, Y, Z)
        Displacement of the inverse on the same grid.
    mask : ndarray (X, Y, Z), optional
        Voxels to use, where > 0; all if absent.

    Returns
    -------
    InverseConsistency

    Raises
    ------
    InputError
        For fields or a mask that cannot be used, or of different shapes.
    """
    forward, backward = as_field(disp), as_field(inverse, "inverse field")
    same_shape(backward, "inverse field", forward.shape, "displacement field")
    inside = as_mask(mask, forward.shape[1:])
    forward = np.ascontiguousarray(forward, np.float32)
    residual = compose(thickened(backward.astype(np.float32, copy=False)), forward)
    distance = np.sqrt(np.einsum("cxyz,cxyz->xyz", residual, residual))
    left = outside(forward, distance.shape)
    counted = ~left if inside is None else inside & ~left
    gone = int(left.sum() if inside is None else (inside & left).sum())
    values = distance[counted]
    if not values.size:
        return InverseConsistency(float("nan"), float("nan"), gone)
    mean = float(np.mean(values, dtype=np.float64))
    return InverseConsistency(mean, float(np.percentile(values, 99.0)), gone)
