"""Displacement search on a grid."""

from __future__ import annotations

import numpy as np
from numba import prange

from optreg.kernels.cpu._jit import parallel_jit

__all__ = ["convex_step", "cost_volume"]


@parallel_jit
def _cost_volume(fixed, moving, radius, out):
    channels, nx, ny, nz = fixed.shape
    side = 2 * radius + 1
    for x in prange(nx):
        for d in range(side**3):
            i, j, k = d // (side * side) - radius, d // side % side - radius, d % side - radius
            p = min(max(x + i, 0), nx - 1)
            for y in range(ny):
                q = min(max(y + j, 0), ny - 1)
                row = out[d, x, y]
                row[:] = 0.0
                for c in range(channels):
                    f, m = fixed[c, x, y], moving[c, p, q]
                    for z in range(nz):
                        e = f[z] - m[min(max(z + k, 0), nz - 1)]
                        row[z] += e * e
                for z in range(nz):
                    row[z] /= channels


@parallel_jit
def _convex_step(cost, disp, coupling, radius, out):
    _, nx, ny, nz = disp.shape
    side = 2 * radius + 1
    for x in prange(nx):
        best = np.empty(nz, np.float32)
        for y in range(ny):
            best[:] = np.inf
            for d in range(side**3):
                i, j, k = d // (side * side) - radius, d // side % side - radius, d % side - radius
                for z in range(nz):
                    a, b, c = i - disp[0, x, y, z], j - disp[1, x, y, z], k - disp[2, x, y, z]
                    total = cost[d, x, y, z] + coupling * np.float32(a * a + b * b + c * c)
                    if total < best[z]:
                        best[z] = total
                        out[0, x, y, z], out[1, x, y, z], out[2, x, y, z] = i, j, k


def cost_volume(fixed, moving, radius):
    """Mean squared feature difference for every displacement of a window.

    Parameters
    ----------
    fixed, moving : ndarray (C, X, Y, Z)
        Features; `moving` repeats its edge outside.
    radius : int
        Displacements are -radius..radius voxels along each axis.

    Returns
    -------
    ndarray ((2 r + 1)^3, X, Y, Z) float32
        The displacement along the last axis changes fastest.
    """
    out = np.empty(((2 * radius + 1) ** 3, *fixed.shape[1:]), np.float32)
    _cost_volume(fixed, moving, radius, out)
    return out


def convex_step(cost, disp, coupling):
    """Best displacement per voxel: cost plus squared distance to a (smoothed) field.

    Parameters
    ----------
    cost : ndarray ((2 r + 1)^3, X, Y, Z)
        From `cost_volume`.
    disp : ndarray (3, X, Y, Z)
        Field to stay close to, in voxels of this grid.
    coupling : float
        Weight of the squared distance.

    Returns
    -------
    ndarray (3, X, Y, Z) float32
        Whole numbers; the first of equals.
    """
    out = np.empty_like(disp)
    radius = (round(len(cost) ** (1 / 3)) - 1) // 2
    _convex_step(cost, disp, np.float32(coupling), radius, out)
    return out
