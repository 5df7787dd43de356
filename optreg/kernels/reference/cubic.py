"""Cubic B-spline interpolation by SciPy."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

NEAR_VOX = 1e-4
"""Distance from a voxel at which a position is on it: headers are no more exact."""
_WIDE = 24
"""Voxels of repeated edge, behind which SciPy's own border does not show."""


def spline_coefficients(volume):
    """Coefficients of the cubic B-spline through all voxels, the edge repeated outside."""
    padded = np.pad(volume.astype(np.float64), _WIDE, mode="edge")
    inside = (slice(_WIDE, -_WIDE),) * 3
    return ndimage.spline_filter(padded, order=3)[inside]


def cubic_at(volume, coefficients, disp, marked):
    """Cubic B-spline at ``x + disp(x)`` for some voxels; the volume itself at its voxels."""
    start = np.array(np.unravel_index(marked, disp.shape[1:]))
    position = start + disp.reshape(3, -1)[:, marked].astype(np.float64)
    found = ndimage.map_coordinates(coefficients, position, order=3, prefilter=False)
    nearest = np.rint(position).astype(int)
    size = np.array(volume.shape)[:, None]
    on = (abs(position - nearest) <= NEAR_VOX) & (nearest >= 0) & (nearest < size)
    on = on.all(axis=0)
    found[on] = volume[tuple(nearest[:, on])]
    return found
