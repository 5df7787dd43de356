"""Filter weights, shared by all backends so that they round alike."""

from __future__ import annotations

import numpy as np


def gaussian_weights(sigma):
    """One half of a normalized Gaussian, centre first, cut at three standard deviations."""
    if sigma <= 0:
        return np.ones(1, np.float32)
    radius = max(1, int(3 * sigma + 0.5))
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    return (kernel / kernel.sum())[radius:].astype(np.float32)


def gaussian_axes(sigma):
    """Weights along x, y and z for one standard deviation, or one for each axis."""
    return tuple(gaussian_weights(float(s)) for s in np.broadcast_to(sigma, 3))


def spline_weights():
    """One half of the filter that turns samples into coefficients of a cubic B-spline."""
    pole = np.sqrt(3.0) - 2.0
    return (np.sqrt(3.0) * pole ** np.arange(13)).astype(np.float32)
