"""How much two images look alike, for pairs without labels."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from optreg.errors import InputError
from optreg.metrics._validate import as_mask, same_shape

__all__ = ["local_correlation"]

_SMALLEST_VARIANCE = 1e-6
"""Share of the image's variance below which a neighbourhood counts as flat."""


def local_correlation(
    fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray | None = None, size_vox: int = 5
) -> float:
    """Mean squared correlation of two images in the neighbourhood of every voxel, 0 to 1.

    The square makes it the same for images of opposite contrast. Neighbourhoods in which one of
    the images is flat say nothing and count as 0.

    Parameters
    ----------
    fixed, warped : ndarray (X, Y, Z)
        Images on one grid.
    mask : ndarray (X, Y, Z), optional
        Where to average (> 0); everywhere if absent.
    size_vox : int
        Edge of the cubic neighbourhood.

    Raises
    ------
    InputError
        Shapes that differ, or an empty mask.

    References
    ----------
    Avants et al. 2008, doi 10.1016/j.media.2007.06.004.
    """
    a, b = (np.asarray(image, np.float64) for image in (fixed, warped))
    if a.ndim != 3:
        raise InputError(f"fixed image of {a.ndim} dimensions; 3 are needed")
    same_shape(b, "warped image", a.shape, "fixed image")
    chosen = as_mask(mask, a.shape, "mask")
    a, b = a - a.mean(), b - b.mean()

    def mean(values: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(values, size_vox, mode="nearest")

    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    says = (variance_a > _SMALLEST_VARIANCE * a.var()) & (variance_b > _SMALLEST_VARIANCE * b.var())
    squared = np.zeros_like(a)
    np.divide(covariance**2, variance_a * variance_b, out=squared, where=says)
    return float(squared.mean() if chosen is None else squared[chosen].mean())
