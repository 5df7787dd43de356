"""Two small heads that are one another's deformation, which is known."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from optreg.kernels import cpu

SHAPE = (48, 56, 44)


def smooth_noise(seed, sigma, channels=None):
    rng = np.random.default_rng(seed)
    size = SHAPE if channels is None else (channels, *SHAPE)
    noise = rng.standard_normal(size)
    width = sigma if channels is None else (0, sigma, sigma, sigma)
    noise = ndimage.gaussian_filter(noise, width)
    return noise / np.abs(noise).max()


def one_head():
    """Three tissue classes inside an ellipsoid, partial volume at their borders."""
    grid = np.indices(SHAPE) - (np.array(SHAPE).reshape(3, 1, 1, 1) - 1) / 2
    radius = np.sqrt(((grid / np.array([18, 22, 17]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0))
    pattern = smooth_noise(0, 2.5)
    tissue = np.where(pattern > 0.15, 3.0, np.where(pattern > -0.2, 2.0, 1.0))
    return ndimage.gaussian_filter(np.where(radius < 1, tissue, 0), 0.6) * (radius < 1.05)


def pair_and_truth(head, axes=(0, 1, 2)):
    """Fixed = moving warped by the truth, so the truth is known on the fixed grid."""
    truth = (2.5 * smooth_noise(5, 7, 3)).astype(np.float32)
    truth[[axis for axis in range(3) if axis not in axes]] = 0
    assert cpu.minimum_determinant(truth).min() > 0.3
    fixed = cpu.warp(head.astype(np.float32), truth)
    rng = np.random.default_rng(1)
    noise = 0.03 * rng.standard_normal((2, *SHAPE))
    return (
        np.where(fixed > 0.2, fixed + noise[0], 0).astype(np.float32),
        np.where(head > 0.2, head + noise[1], 0).astype(np.float32),
        truth,
    )


def error_vox(disp, truth, mask):
    return np.sqrt(((disp - truth) ** 2).sum(axis=0))[mask]
