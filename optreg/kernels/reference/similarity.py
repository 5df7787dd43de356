"""Local correlation and squared difference with their forces, as published formulas."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from optreg.kernels.reference.warp import _result


def _differences(volume):
    """Central differences (3, X, Y, Z); half a one-sided difference at the border."""
    padded = np.pad(volume, 1, mode="edge")
    inner = slice(1, -1)
    out = []
    for axis in range(3):
        ahead = tuple(slice(2, None) if a == axis else inner for a in range(3))
        behind = tuple(slice(None, -2) if a == axis else inner for a in range(3))
        out.append(0.5 * (padded[ahead] - padded[behind]))
    return np.stack(out)


def lncc_and_derivatives(fixed, moving, radius, eps, stride=1, region=None):
    """Sum of the squared local correlation, and its derivative by each voxel of either image.

    With a region, voxels enter the statistics of a window by their weight, and windows the sum by
    the mean of theirs. That mean cancels in the derivative.
    """

    def box(volume):
        # Not ndimage.uniform_filter: its running sums leave traces where all is zero.
        for axis in range(3):
            volume = ndimage.correlate1d(volume, mean_of_line, axis, mode="constant")
        return volume

    def mean(volume):
        return box(volume) if region is None else box(region * volume) / share

    mean_of_line = np.full(2 * radius + 1, 1 / (2 * radius + 1))
    fixed, moving = fixed.astype(np.float64), moving.astype(np.float64)
    share = 1.0 if region is None else np.maximum(box(region.astype(np.float64)), 1e-30)
    mean_f, mean_m = mean(fixed), mean(moving)
    var_f = np.maximum(mean(fixed * fixed) - mean_f**2, 0)
    var_m = np.maximum(mean(moving * moving) - mean_m**2, 0)
    cov = mean(fixed * moving) - mean_f * mean_m
    product = var_f * var_m + eps
    counted = np.zeros_like(cov)
    counted[::stride, ::stride] = 1
    cov *= counted
    a = 2 * cov / product
    b_f, b_m = -2 * cov**2 * var_m / product**2, -2 * cov**2 * var_f / product**2
    shared = box(a)
    by_fixed = shared * moving + box(b_f) * fixed - box(a * mean_m + b_f * mean_f)
    by_moving = shared * fixed + box(b_m) * moving - box(a * mean_f + b_m * mean_m)
    own = 1.0 if region is None else region
    return float((share * cov**2 / product).sum()), own * by_fixed, own * by_moving


def lncc(fixed, moving, radius, eps, force, weight=1.0, add=False, stride=1, region=None):
    """Mean squared local correlation and the force between the images."""
    total, by_fixed, by_moving = lncc_and_derivatives(fixed, moving, radius, eps, stride, region)
    weight *= stride**2
    drive = by_moving * _differences(moving) - by_fixed * _differences(fixed)
    _result(weight * drive + (force if add else 0), force)
    return total / fixed[::stride, ::stride].size


def ssd(fixed, moving, force, weight=1.0, add=False, region=None):
    """Mean squared difference and the force that lowers the sum."""
    difference = fixed - moving
    weighed = difference if region is None else region * difference
    drive = 2 * weight * weighed * (_differences(fixed) + _differences(moving))
    _result(drive + (force if add else 0), force)
    return float((weighed.astype(np.float64) * difference).sum() / fixed.size)
