"""Cubic B-spline interpolation: coefficients by a filter, samples at some voxels."""

from __future__ import annotations

import numpy as np
from numba import prange

from optreg.kernels.cpu._jit import jit, parallel_jit
from optreg.kernels.cpu.marked import voxel
from optreg.kernels.cpu.smooth import filter_axes
from optreg.kernels.reference.cubic import NEAR_VOX
from optreg.kernels.reference.weights import spline_weights

__all__ = ["cubic_at", "spline_coefficients"]


@jit
def _basis(position, size):
    """First of four coefficients along an axis, and their weights."""
    lower = np.int64(np.floor(min(max(position, 1.0), size - 2.0)))
    lower = min(lower, size - 3)
    t = position - lower
    s = 1.0 - t
    a, d = s * s * s / 6.0, t * t * t / 6.0
    b, c = 2.0 / 3.0 - t * t * (2.0 - t) / 2.0, 2.0 / 3.0 - s * s * (2.0 - s) / 2.0
    return lower - 1, (a, b, c, d)


@jit
def _on_voxel(position, size):
    """Voxel at which a position lies, or -1."""
    nearest = np.floor(position + 0.5)
    if abs(position - nearest) > NEAR_VOX or not 0 <= nearest < size:
        return -1
    return np.int64(nearest)


@parallel_jit
def _cubic_at(volume, coefficients, disp, marked, out):
    nx, ny, nz = coefficients.shape
    _, _, my, mz = disp.shape
    for n in prange(len(marked)):
        x, y, z = voxel(marked[n], my, mz)
        px = x + np.float64(disp[0, x, y, z])
        py = y + np.float64(disp[1, x, y, z])
        pz = z + np.float64(disp[2, x, y, z])
        i, j, k = _on_voxel(px, nx), _on_voxel(py, ny), _on_voxel(pz, nz)
        if min(i, j, k) >= 0:
            out[n] = volume[i, j, k]
            continue
        (ix, wx), (iy, wy), (iz, wz) = _basis(px, nx), _basis(py, ny), _basis(pz, nz)
        total = 0.0
        for i in range(4):
            plane = 0.0
            for j in range(4):
                line = coefficients[ix + i, iy + j]
                along = wz[0] * line[iz] + wz[1] * line[iz + 1]
                along += wz[2] * line[iz + 2] + wz[3] * line[iz + 3]
                plane += wy[j] * along
            total += wx[i] * plane
        out[n] = total


def spline_coefficients(volume):
    """Coefficients of the cubic B-spline through all voxels of a volume.

    The inverse of the filter (1, 4, 1) / 6 along each axis as a symmetric one that dies out within
    twelve voxels (Unser et al. 1991, doi 10.1109/34.75515, as a convolution); the edge is repeated
    outside.

    Parameters
    ----------
    volume : ndarray (X, Y, Z)
    """
    return filter_axes(volume, (spline_weights(),) * 3)


def cubic_at(volume, coefficients, disp, marked):
    """Cubic B-spline at ``x + disp(x)`` for some voxels x.

    Parameters
    ----------
    volume : ndarray (X, Y, Z)
        Values at the voxels themselves: there, coefficients in float32 would be off by rounding.
    coefficients : ndarray (X, Y, Z)
        From `spline_coefficients`; at least four voxels along each axis.
    disp : ndarray (3, X', Y', Z')
        Displacement in voxels. Positions should lie a voxel or more inside the volume.
    marked : ndarray (N,) of int64
        Flat indices of voxels of `disp`.

    Returns
    -------
    ndarray (N,) float32
    """
    out = np.empty(len(marked), np.float32)
    _cubic_at(volume, coefficients, disp, marked, out)
    return out
