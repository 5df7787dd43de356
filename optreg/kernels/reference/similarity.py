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


def lncc_and_derivatives(fixed, moving, radius, eps, stride=1):
    """Sum of the squared local correlation, and its derivative by each voxel of either image."""

    def box(volume):
        return ndimage.uniform_filter(volume, 2 * radius + 1, mode="constant")

    fixed, moving = fixed.astype(np.float64), moving.astype(np.float64)
    mean_f, mean_m = box(fixed), box(moving)
    var_f = np.maximum(box(fixed * fixed) - mean_f**2, 0)
    var_m = np.maximum(box(moving * moving) - mean_m**2, 0)
    cov = box(fixed * moving) - mean_f * mean_m
    product = var_f * var_m + eps
    counted = np.zeros_like(cov)
    counted[::stride, ::stride] = 1
    cov *= counted
    a = 2 * cov / product
    b_f, b_m = -2 * cov**2 * var_m / product**2, -2 * cov**2 * var_f / product**2
    shared = box(a)
    by_fixed = shared * moving + box(b_f) * fixed - box(a * mean_m + b_f * mean_f)
    by_moving = shared * fixed + box(b_m) * moving - box(a * mean_f + b_m * mean_m)
    return float((cov**2 / product).sum()), by_fixed, by_moving


def lncc(fixed, moving, radius, eps, force, weight=1.0, add=False, stride=1):
    """Mean squared local correlation and the force between the images."""
    total, by_fixed, by_moving = lncc_and_derivatives(fixed, moving, radius, eps, stride)
    weight *= stride**2
    drive = by_moving * _differences(moving) - by_fixed * _differences(fixed)
    _result(weight * drive + (force if add else 0), force)
    return total / fixed[::stride, ::stride].size


def ssd(fixed, moving, force, weight=1.0, add=False):
    """Mean squared difference and the force that lowers the sum."""
    difference = fixed - moving
    difference[..., [0, -1]] = 0
    drive = 2 * weight * difference * (_differences(fixed) + _differences(moving))
    _result(drive + (force if add else 0), force)
    return float((difference.astype(np.float64) ** 2).sum() / fixed.size)
