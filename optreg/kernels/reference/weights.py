"""Filter weights, shared by all backends so that they round alike."""

from __future__ import annotations

from functools import cache

import numpy as np


@cache
def gaussian_weights(sigma):
    """One half of a normalized Gaussian, centre first, cut at three standard deviations."""
    if sigma <= 0:
        return np.ones(1, np.float32)
    radius = max(1, int(3 * sigma + 0.5))
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    return (kernel / kernel.sum())[radius:].astype(np.float32)


def of_each_axis(sigma):
    """Standard deviations along x, y and z, from one for all or one for each."""
    return tuple(map(float, sigma)) if isinstance(sigma, (tuple, list)) else (float(sigma),) * 3


def spline_weights():
    """One half of the filter that turns samples into coefficients of a cubic B-spline."""
    pole = np.sqrt(3.0) - 2.0
    return (np.sqrt(3.0) * pole ** np.arange(13)).astype(np.float32)
