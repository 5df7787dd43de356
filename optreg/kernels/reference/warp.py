"""Sampling, composing and inverting in NumPy and SciPy. See ``kernels.cpu`` for the parameters."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def _result(value, out):
    if out is None:
        return value
    out[...] = value
    return out


def warp(image, disp, out=None):
    """Linear interpolation ``image(x + disp(x))``, the edge repeated outside."""
    position = np.indices(disp.shape[1:]) + disp
    channels = image.reshape((-1, *image.shape[-3:]))
    warped = [ndimage.map_coordinates(c, position, order=1, mode="nearest") for c in channels]
    return _result(np.stack(warped).reshape(image.shape[:-3] + disp.shape[1:]), out)


def warp_nearest(image, disp, out=None):
    """Value of the voxel nearest to ``x + disp(x)``, the edge repeated outside."""
    position = np.floor(np.indices(disp.shape[1:]) + disp.astype(np.float64) + 0.5)
    limits = np.array(image.shape).reshape(3, 1, 1, 1) - 1
    return _result(image[tuple(np.clip(position, 0, limits).astype(int))], out)


def compose(outer, inner, out=None):
    """Displacement of `inner` followed by `outer`."""
    return _result(inner + warp(outer, inner), out)


def invert(disp, initial=None, iterations=200, tolerance=1e-3, out=None):
    """Inverse by damped fixed-point iteration: slower than Newton's method, and for smooth fields
    only, but beyond doubt where it converges.
    """
    inverse = -disp if initial is None else np.array(initial)
    for _ in range(iterations):
        residual = compose(disp, inverse)
        if np.sqrt((residual**2).sum(axis=0)).max() < tolerance:
            break
        inverse = inverse - 0.7 * residual
    return _result(inverse, out)


def invert_at(disp, marked, inverse, iterations=200, tolerance=1e-3):
    """`invert` at some voxels, in place."""
    found = invert(disp, inverse, iterations, tolerance)
    inverse.reshape(3, -1)[:, marked] = found.reshape(3, -1)[:, marked]
    return inverse


def map_field(matrix, disp):
    """``matrix(x + disp(x)) - x``."""
    grid = np.indices(disp.shape[1:])
    moved = np.einsum("ij,j...->i...", matrix[:3, :3], grid + disp.astype(np.float64))
    return moved + matrix[:3, 3, None, None, None] - grid
