"""How much two images look alike, for pairs without labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from optreg.errors import InputError
from optreg.image import Image, array_of
from optreg.metrics._validate import as_mask, same_shape

__all__ = ["local_correlation"]

_SMALLEST_VARIANCE = 1e-6
"""Share of the image's variance below which a neighbourhood counts as flat."""
_READ_IT = "give an array or an optreg.Image (optreg.io.load_image reads files)"


def local_correlation(
    fixed: Image | np.ndarray,
    warped: Image | np.ndarray,
    mask: Image | np.ndarray | None = None,
    size_vox: int = 5,
) -> float:
    """Mean squared correlation of two images in the neighbourhood of every voxel, 0 to 1.

    The square makes it the same for images of opposite contrast. Neighbourhoods in which one of
    the images is flat say nothing and count as 0.

    Parameters
    ----------
    fixed, warped : Image or ndarray (X, Y, Z)
        Images on one grid.
    mask : Image or ndarray (X, Y, Z), optional
        Where to average (> 0); everywhere if absent.
    size_vox : int
        Edge of the cubic neighbourhood.

    Raises
    ------
    InputError
        Grids or shapes that differ, an empty mask, or what is no image.

    References
    ----------
    Avants et al. 2008, doi 10.1016/j.media.2007.06.004.
    """
    _require_one_grid({"fixed image": fixed, "warped image": warped, "mask": mask})
    a = _values(fixed, "fixed image").astype(np.float64)
    b = _values(warped, "warped image").astype(np.float64)
    if a.ndim != 3:
        raise InputError(f"fixed image of {a.ndim} dimensions; 3 are needed")
    same_shape(b, "warped image", a.shape, "fixed image")
    chosen = as_mask(None if mask is None else _values(mask, "mask"), a.shape, "mask")
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


def _require_one_grid(named: dict[str, Any]) -> None:
    """Raise where images say that they lie in different places."""
    images = [(name, image) for name, image in named.items() if isinstance(image, Image)]
    for name, image in images[1:]:
        if not image.grid.same_as(images[0][1].grid, tolerance=1e-2):
            raise InputError(
                f"{name} and {images[0][0]} are on two grids; warp one onto that of the other first"
            )


def _values(source: Any, name: str) -> np.ndarray:
    return source.data if isinstance(source, Image) else array_of(source, name, _READ_IT)
