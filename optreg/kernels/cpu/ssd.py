"""Squared difference of two volumes and the force between them."""

from __future__ import annotations

import numpy as np
from numba import prange

from optreg.kernels.cpu._jit import parallel_jit

__all__ = ["ssd"]


@parallel_jit
def _ssd(fixed, moving, weight, add, region, force, values):
    nx, ny, nz = fixed.shape
    for x in prange(nx):
        xm, xp = max(x - 1, 0), min(x + 1, nx - 1)
        squares = np.empty(nz, np.float32)
        total = 0.0
        for y in range(ny):
            ym, yp = max(y - 1, 0), min(y + 1, ny - 1)
            f, fx0, fx1, fy0, fy1 = (
                fixed[x, y], fixed[xm, y], fixed[xp, y], fixed[x, ym], fixed[x, yp]
            )  # fmt: skip
            m, mx0, mx1, my0, my1 = (
                moving[x, y], moving[xm, y], moving[xp, y], moving[x, ym], moving[x, yp]
            )  # fmt: skip
            a, b, c = force[0, x, y], force[1, x, y], force[2, x, y]
            if not add:
                a[:], b[:], c[:] = 0.0, 0.0, 0.0
            for z in range(1, nz - 1):
                d = f[z] - m[z]
                if region is None:  # decided when this is compiled
                    squares[z] = d * d
                else:
                    squares[z] = d * d * region[x, y, z]
                    d *= region[x, y, z]
                d *= weight
                a[z] += d * (fx1[z] - fx0[z] + mx1[z] - mx0[z])
                b[z] += d * (fy1[z] - fy0[z] + my1[z] - my0[z])
                c[z] += d * (f[z + 1] - f[z - 1] + m[z + 1] - m[z - 1])
            for z in range(0, nz, max(nz - 1, 1)):  # both ends
                low, high = max(z - 1, 0), min(z + 1, nz - 1)
                d = f[z] - m[z]
                if region is None:
                    squares[z] = d * d
                else:
                    squares[z] = d * d * region[x, y, z]
                    d *= region[x, y, z]
                d *= weight
                a[z] += d * (fx1[z] - fx0[z] + mx1[z] - mx0[z])
                b[z] += d * (fy1[z] - fy0[z] + my1[z] - my0[z])
                c[z] += d * (f[high] - f[low] + m[high] - m[low])
            for z in range(nz):
                total += squares[z]
        values[x] = total


def ssd(fixed, moving, force, weight=1.0, add=False, region=None):
    """Sum of squared differences and the force that lowers it.

    Parameters
    ----------
    fixed, moving : ndarray (X, Y, Z)
        Warped volumes.
    force : ndarray (3, X, Y, Z)
        Result: direction of the displacement of `moving` against `fixed` that lowers the sum,
        differences times the central differences of both volumes.
    weight : float
        Factor of the force.
    add : bool
        Add to the force instead of overwriting it.
    region : ndarray (X, Y, Z), optional
        How much each voxel counts, 0..1; without, all count.

    Returns
    -------
    float
        Mean squared difference.
    """
    values = np.zeros(fixed.shape[0], np.float64)
    _ssd(fixed, moving, np.float32(weight), add, region, force, values)
    return float(values.sum() / fixed.size)
