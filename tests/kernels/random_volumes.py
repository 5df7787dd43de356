"""Random volumes and fields, and how close results on them have to be."""

from __future__ import annotations

import numpy as np

from optreg.kernels import reference

SHAPES = [(9, 10, 11), (16, 8, 13), (8, 21, 9)]


def fields(shape, seed=0, amplitude=1.5):
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((3, *shape)).astype(np.float32)
    smooth = reference.gaussian_filter(noise, 1.5)
    return (amplitude * smooth / np.abs(smooth).max()).astype(np.float32)


def volumes(shape, seed=1, channels=None):
    size = shape if channels is None else (channels, *shape)
    return np.random.default_rng(seed).random(size, dtype=np.float32)


def region(shape, seed=5):
    """Weights in 0..1 with a hole of zeros."""
    weights = volumes(shape, seed)
    weights[shape[0] // 2 :, : shape[1] // 2] = 0
    return weights


def close(actual, expected, relative=1e-6):
    expected = np.asarray(expected)
    scale = max(float(np.abs(expected).max()), 1e-12)
    # A handful of float32 roundings of the largest value.
    assert np.abs(np.asarray(actual, np.float64) - expected).max() <= 6 * relative * scale
