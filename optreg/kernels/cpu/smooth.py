"""Separable filters: the Gaussian of force and field, the box of local statistics."""

from __future__ import annotations

import numpy as np
from numba import prange

from optreg.kernels.cpu._jit import jit, parallel_jit
from optreg.kernels.reference.weights import gaussian_weights, of_each_axis

__all__ = ["box_filter", "filter_axes", "gaussian_filter"]


@jit
def _filter_row(line, weights, out):
    """Symmetric FIR along one line whose ends are already padded by the radius."""
    radius = weights.shape[0] - 1
    n = out.shape[0]
    for z in range(n):
        out[z] = weights[0] * line[z + radius]
    for k in range(1, radius + 1):
        w = weights[k]
        left, right = line[radius - k :], line[radius + k :]
        for z in range(n):
            out[z] += w * (left[z] + right[z])


@parallel_jit
def _separable(volume, along_x, along_y, along_z, out, work):
    channels, nx, ny, nz = volume.shape
    radius, ends_y, ends_x = along_z.shape[0] - 1, along_y.shape[0], along_x.shape[0]
    for c in range(channels):
        for x in prange(nx):
            line = np.empty(nz + 2 * radius, np.float32)
            plane = np.empty((ny, nz), np.float32)
            for y in range(ny):
                row = volume[c, x, y]
                line[radius : radius + nz] = row
                line[:radius] = row[0]
                line[radius + nz :] = row[nz - 1]
                _filter_row(line, along_z, plane[y])
            for y in range(ny):
                target = work[x, y]
                centre = plane[y]
                for z in range(nz):
                    target[z] = along_y[0] * centre[z]
                for k in range(1, ends_y):
                    w = along_y[k]
                    low, high = plane[max(y - k, 0)], plane[min(y + k, ny - 1)]
                    for z in range(nz):
                        target[z] += w * (low[z] + high[z])
        for y in prange(ny):
            for x in range(nx):
                target = out[c, x, y]
                centre = work[x, y]
                for z in range(nz):
                    target[z] = along_x[0] * centre[z]
                for k in range(1, ends_x):
                    w = along_x[k]
                    low, high = work[max(x - k, 0), y], work[min(x + k, nx - 1), y]
                    for z in range(nz):
                        target[z] += w * (low[z] + high[z])


def gaussian_filter(volume, sigma, out=None, work=None):
    """Gaussian smoothing; the edge is repeated outside the grid.

    The kernel ends at three standard deviations and sums to one, as
    ``scipy.ndimage.gaussian_filter(volume, sigma, mode="nearest", truncate=3)``.

    Parameters
    ----------
    volume : ndarray (X, Y, Z) or (C, X, Y, Z)
    sigma : float, or list or tuple of three
        Standard deviation in voxels, of each axis; 0 for none.
    out : ndarray, shape of `volume`, optional
        May be `volume` itself.
    work : ndarray (X, Y, Z), optional
        Scratch.
    """
    weights = tuple(gaussian_weights(s) for s in of_each_axis(sigma))
    return filter_axes(volume, weights, out, work)


def box_filter(volume, radius, out=None, work=None):
    """Mean over the cube of (2 r + 1)^3 voxels; the edge is repeated. See `gaussian_filter`."""
    weights = np.full(radius + 1, 1 / (2 * radius + 1), np.float32)
    return filter_axes(volume, (weights,) * 3, out, work)


def filter_axes(volume, weights, out=None, work=None):
    """Symmetric filters along x, y and z, each given by one half, centre first."""
    out = np.empty_like(volume) if out is None else out
    work = np.empty(volume.shape[-3:], np.float32) if work is None else work
    shape = (-1, *volume.shape[-3:])
    _separable(volume.reshape(shape), *weights, out.reshape(shape), work)
    return out
