"""Filter weights, shared by all backends so that they round alike."""

from __future__ import annotations

import numpy as np


def gaussian_weights(sigma):
    """One half of a normalized Gaussian, centre first, cut at three standard deviations."""
    radius = max(1, int(3 * sigma + 0.5))
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    return (kernel / kernel.sum())[radius:].astype(np.float32)
