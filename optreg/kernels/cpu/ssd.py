"""Mean squared difference of multi-channel features and the force between the volumes."""

from __future__ import annotations

import numpy as np
from numba import prange

from optreg.kernels.cpu._jit import parallel_jit

__all__ = ["ssd"]


@parallel_jit
def _ssd(fixed, moving, force, values):
    channels, nx, ny, nz = fixed.shape
    for x in prange(nx):
        xm, xp = max(x - 1, 0), min(x + 1, nx - 1)
        total = 0.0
        for y in range(ny):
            ym, yp = max(y - 1, 0), min(y + 1, ny - 1)
            a = force[:, x, y]
            a[:] = 0.0
            for c in range(channels):
                f, m = fixed[c], moving[c]
                row = np.float32(0.0)
                for z in range(1, nz - 1):
                    d = f[x, y, z] - m[x, y, z]
                    row += d * d
                    a[0, z] += d * (f[xp, y, z] - f[xm, y, z] + m[xp, y, z] - m[xm, y, z])
                    a[1, z] += d * (f[x, yp, z] - f[x, ym, z] + m[x, yp, z] - m[x, ym, z])
                    gf, gm = f[x, y, z + 1] - f[x, y, z - 1], m[x, y, z + 1] - m[x, y, z - 1]
                    a[2, z] += d * (gf + gm)
                total += row
        values[x] = total


def ssd(fixed, moving, force):
    """Sum of squared differences over channels and the force that lowers it.

    Parameters
    ----------
    fixed, moving : ndarray (C, X, Y, Z)
        Warped features. The first and last voxel along z take no part.
    force : ndarray (3, X, Y, Z)
        Result: direction of the displacement of `moving` against `fixed` that lowers the sum,
        differences times the central differences of both volumes.

    Returns
    -------
    float
        Mean squared difference.
    """
    values = np.zeros(fixed.shape[1], np.float64)
    _ssd(fixed, moving, force, values)
    return float(values.sum() / fixed.size)
