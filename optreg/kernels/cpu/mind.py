"""MIND-SSC features."""

from __future__ import annotations

import numpy as np
from numba import prange

from optreg.kernels.cpu._jit import parallel_jit
from optreg.kernels.cpu.smooth import box_filter
from optreg.kernels.reference.mind import ALL, CLAMP, PAIRS

__all__ = ["mind_ssc"]


@parallel_jit
def _squared_difference(image, a, b, out):
    nx, ny, nz = image.shape
    for x in prange(nx):
        xa, xb = min(max(x + a[0], 0), nx - 1), min(max(x + b[0], 0), nx - 1)
        for y in range(ny):
            p = image[xa, min(max(y + a[1], 0), ny - 1)]
            q = image[xb, min(max(y + b[1], 0), ny - 1)]
            for z in range(nz):
                d = p[min(max(z + a[2], 0), nz - 1)] - q[min(max(z + b[2], 0), nz - 1)]
                out[x, y, z] = d * d


@parallel_jit
def _subtract_minimum(distance, local, sums):
    channels, nx, ny, nz = distance.shape
    for x in prange(nx):
        total = 0.0
        for y in range(ny):
            for z in range(nz):
                smallest, mean = distance[0, x, y, z], np.float32(0.0)
                for c in range(channels):
                    smallest = min(smallest, distance[c, x, y, z])
                for c in range(channels):
                    distance[c, x, y, z] -= smallest
                    mean += distance[c, x, y, z]
                local[x, y, z] = mean / channels
                total += local[x, y, z]
        sums[x] = total


@parallel_jit
def _exponential(distance, local, low, high):
    channels, nx, ny, nz = distance.shape
    for x in prange(nx):
        for c in range(channels):
            for y in range(ny):
                for z in range(nz):
                    width = min(max(local[x, y, z], low), high)
                    distance[c, x, y, z] = np.exp(-distance[c, x, y, z] / width)


def mind_ssc(image, radius=1, dilation=2, channels=ALL):
    """MIND-SSC features (Heinrich et al. 2013, doi 10.1007/978-3-642-40811-3_24).

    Parameters
    ----------
    image : ndarray (X, Y, Z)
        Any contrast; the features do not change under ``a * image + b``.
    radius : int
        Half width of the patches, in voxels.
    dilation : int
        Distance of the neighbours whose patches are compared, in voxels.
    channels : sequence of int
        Which of the twelve pairs of neighbours; the minimum and the mean are taken over these.

    Returns
    -------
    ndarray (C, X, Y, Z) float32
        Between 0 and 1.
    """
    pairs = [PAIRS[c] for c in channels]
    distance = np.empty((len(pairs), *image.shape), np.float32)
    raw, work = np.empty(image.shape, np.float32), np.empty(image.shape, np.float32)
    for (a, b), channel in zip(pairs, distance, strict=True):
        _squared_difference(image, dilation * np.array(a), dilation * np.array(b), raw)
        box_filter(raw, radius, channel, work)
    sums = np.empty(image.shape[0], np.float64)
    _subtract_minimum(distance, work, sums)
    overall = max(float(sums.sum()) / image.size, 1e-12)
    _exponential(distance, work, np.float32(CLAMP * overall), np.float32(overall / CLAMP))
    return distance
