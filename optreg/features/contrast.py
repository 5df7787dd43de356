"""What an intensity of one contrast means in another: learnt from images that nearly lie on each
other.

Where two images are roughly aligned, the mean of a feature of the fixed image over all voxels of
one moving intensity is the best guess of it from that intensity, in the least squares sense. It
needs no classes in the moving image, follows any relation between two contrasts, and is the less
sure of itself the less the moving image tells apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from optreg.features.tissue import VALUES, bins, lookup
from optreg.kernels import Backend

__all__ = ["predicted"]

_SMOOTHING = 0.004
"""Standard deviation of the intensities that are looked at together."""
_ROUNDED = 2.0**20
"""Sums are of whole parts of this, so that their order does not matter."""


def predicted(moving: Any, targets: Any, counted: Any, near: Any, backend: Backend) -> Any:
    """Features of the fixed image as the intensities of the moving one suggest them.

    Parameters
    ----------
    moving : (X, Y, Z) float32 array
        Intensities in 0..1, background 0.
    targets : (C, X, Y, Z) float32 array
        Features of the fixed image in 0..1.
    counted : (X, Y, Z) bool array
        Voxels of the fixed image that are learnt from, where they meet moving foreground.
    near : (3, X, Y, Z) float32 array
        Displacement, in voxels, by which the moving image nearly lies on the fixed one.
    backend : Backend

    Returns
    -------
    (C, X, Y, Z) float32 array
        The targets for every voxel of the moving image, 0 in its background.
    """
    xp = backend.xp
    warped = backend.kernels.warp(moving, near)
    both = counted & (warped > 0)
    found = bins(warped[both], xp)
    share = _smoothed(found, None, backend)
    sums = [_smoothed(found, target[both], backend) for target in targets]
    return lookup(moving, np.stack(sums) / np.maximum(share, 1e-6), xp)


def _smoothed(found: Any, weights: Any | None, backend: Backend) -> np.ndarray:
    """Sum of the weights (of ones without) around each intensity."""
    xp, count = backend.xp, len(VALUES)
    if weights is not None:
        weights = xp.rint(weights.astype(xp.float64) * _ROUNDED)
    sums = backend.asnumpy(xp.bincount(found, weights, minlength=count)).astype(np.float64)
    sums = ndimage.gaussian_filter1d(sums, _SMOOTHING * count, mode="nearest")
    return np.asarray(sums / (1 if weights is None else _ROUNDED))
