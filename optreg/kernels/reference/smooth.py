"""Separable filters by SciPy."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from optreg.kernels.reference.warp import _result


def gaussian_filter(volume, sigma, out=None, work=None):
    """Gaussian cut at three standard deviations, the edge repeated."""
    channels = volume.reshape((-1, *volume.shape[-3:]))
    radius = [max(1, int(3 * s + 0.5)) for s in np.broadcast_to(sigma, 3)]
    smooth = [ndimage.gaussian_filter(c, sigma, mode="nearest", radius=radius) for c in channels]
    return _result(np.stack(smooth).reshape(volume.shape), out)


def box_filter(volume, radius, out=None, work=None):
    """Mean over (2 r + 1)^3 voxels, the edge repeated."""
    channels = volume.reshape((-1, *volume.shape[-3:]))
    smooth = [ndimage.uniform_filter(c, 2 * radius + 1, mode="nearest") for c in channels]
    return _result(np.stack(smooth).reshape(volume.shape), out)
