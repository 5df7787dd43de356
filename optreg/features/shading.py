"""Removal of slow shading, so that a tissue has one intensity everywhere."""

from __future__ import annotations

from typing import Any

from optreg.features.tissue import class_centres, lookup, posterior_table
from optreg.kernels import Backend

__all__ = ["even_out"]

_STRIDE = 4
_SMALLEST = 32
"""Voxels along an axis under which shading cannot be told from anatomy."""
_EXTENT = 0.06
"""Standard deviation of the shading's smoothness, of the longest side of the volume."""
_LEAST_VOX = 6.0
"""The same in voxels, at least: below it, anatomy in few voxels would be evened out."""
_LARGEST = 2.0
_ROUNDS = 6
_SOFT = 2.5


def even_out(volume: Any, seen: Any, backend: Backend) -> Any:
    """Volume divided by its shading.

    The shading is the smoothed intensity over the smoothed intensity to be expected, which is the
    mean of the class centres weighted by membership (the classification step and the bias step of
    Wells et al. 1996, doi 10.1109/42.511747, with a Gaussian filter as the model of the bias). It
    is so smooth that every fourth voxel is enough.

    Parameters
    ----------
    volume : (X, Y, Z) float32 array
        Normalized intensities in 0..1, background 0.
    seen : (X, Y, Z) float32 array
        The same with background where the shading is not to be looked for.
    backend : Backend

    Returns
    -------
    (X, Y, Z) float32 array
        In 0..1, background 0; `volume` itself if it is smaller than 32 voxels along an axis.
    """
    xp, k = backend.xp, backend.kernels
    if min(volume.shape) < _SMALLEST:
        return volume
    sparse = xp.ascontiguousarray(seen[::_STRIDE, ::_STRIDE, ::_STRIDE])
    if not (sparse > 0).any():
        return volume
    sigma = max(_EXTENT * max(volume.shape), _LEAST_VOX) / _STRIDE
    even = sparse
    for _ in range(_ROUNDS):
        centres = class_centres(even, backend)
        expected = lookup(even, centres @ posterior_table(centres, _SOFT), xp)
        found, wanted = k.gaussian_filter(xp.stack([sparse, expected]), sigma)
        gain = xp.clip((found + 1e-3) / (wanted + 1e-3), 1 / _LARGEST, _LARGEST)
        even = xp.minimum(sparse / gain, 1.0)
    for _ in range(_STRIDE.bit_length() - 1):
        gain = k.upsample(gain)
    x, y, z = volume.shape
    return xp.minimum(volume / gain[:x, :y, :z], 1.0)
