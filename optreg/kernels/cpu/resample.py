"""Factor-two pyramids: 2x2x2 means downwards, linear interpolation upwards."""

from __future__ import annotations

import numpy as np
from numba import prange

from optreg.kernels.cpu._jit import parallel_jit

__all__ = ["downsample", "upsample"]


@parallel_jit
def _downsample(volume, out):
    eighth = np.float32(0.125)
    for x in prange(out.shape[0]):
        for y in range(out.shape[1]):
            a, b = volume[2 * x, 2 * y], volume[2 * x, 2 * y + 1]
            c, d = volume[2 * x + 1, 2 * y], volume[2 * x + 1, 2 * y + 1]
            for z in range(out.shape[2]):
                i, j = 2 * z, 2 * z + 1
                total = a[i] + a[j] + b[i] + b[j] + c[i] + c[j] + d[i] + d[j]
                out[x, y, z] = eighth * total


@parallel_jit
def _upsample(volume, factor, out):
    channels, nx, ny, nz = volume.shape
    near, far = np.float32(0.75), np.float32(0.25)
    for x in prange(out.shape[1]):
        row = np.empty(nz, np.float32)
        # A fine voxel lies a quarter of a coarse one beside the centre of its parent.
        x0 = x // 2
        x1 = min(max(x0 + 2 * (x % 2) - 1, 0), nx - 1)
        for c in range(channels):
            for y in range(out.shape[2]):
                y0 = y // 2
                y1 = min(max(y0 + 2 * (y % 2) - 1, 0), ny - 1)
                p, q = volume[c, x0, y0], volume[c, x0, y1]
                r, s = volume[c, x1, y0], volume[c, x1, y1]
                for z in range(nz):
                    a = near * p[z] + far * q[z]
                    row[z] = factor * (near * a + far * (near * r[z] + far * s[z]))
                for z in range(nz):
                    out[c, x, y, 2 * z] = near * row[z] + far * row[max(z - 1, 0)]
                    out[c, x, y, 2 * z + 1] = near * row[z] + far * row[min(z + 1, nz - 1)]


def downsample(volume):
    """Mean of 2x2x2 blocks of a volume (..., X, Y, Z) whose last three sizes are even."""
    half = tuple(n // 2 for n in volume.shape[-3:])
    out = np.empty(volume.shape[:-3] + half, np.float32)
    for source, target in zip(
        volume.reshape((-1, *volume.shape[-3:])), out.reshape((-1, *half)), strict=True
    ):
        _downsample(source, target)
    return out


def upsample(volume, factor=1.0):
    """Twice as many voxels along the last three axes, linear, times `factor`.

    The inverse of `downsample` in geometry: voxel 0 of the coarse grid covers voxels 0 and 1 of
    the fine one. Displacements in voxels take ``factor=2``.
    """
    fine = tuple(2 * n for n in volume.shape[-3:])
    out = np.empty(volume.shape[:-3] + fine, np.float32)
    shape = volume.shape[-3:]
    _upsample(volume.reshape((-1, *shape)), np.float32(factor), out.reshape((-1, *fine)))
    return out
