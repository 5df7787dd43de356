"""Local smoothing of a displacement field around folded voxels."""

from __future__ import annotations

import numpy as np
from numba import prange

from optreg.kernels.cpu._jit import jit, parallel_jit

__all__ = ["minimum_determinant_at", "smooth_marked"]


@parallel_jit
def _averages(disp, index, values):
    _, nx, ny, nz = disp.shape
    for n in prange(index.shape[0]):
        x, y, z = index[n, 0], index[n, 1], index[n, 2]
        for c in range(3):
            total = np.float64(0.0)
            for i in range(-1, 2):
                p = min(max(x + i, 0), nx - 1)
                for j in range(-1, 2):
                    q = min(max(y + j, 0), ny - 1)
                    for k in range(-1, 2):
                        r = min(max(z + k, 0), nz - 1)
                        weight = (2 - abs(i)) * (2 - abs(j)) * (2 - abs(k))
                        total += weight * np.float64(disp[c, p, q, r])
            values[n, c] = total / 64


@parallel_jit
def _scatter(disp, index, values):
    for n in prange(index.shape[0]):
        for c in range(3):
            disp[c, index[n, 0], index[n, 1], index[n, 2]] = values[n, c]


@jit
def _edge(disp, x, y, z, i, j, k, edge):
    """Deformed vector from a voxel to its neighbour at offset (i, j, k)."""
    for c in range(3):
        edge[c] = np.float64(disp[c, x + i, y + j, z + k]) - np.float64(disp[c, x, y, z])
    edge[0] += i
    edge[1] += j
    edge[2] += k


@jit
def _det(a, b, c):
    return (
        a[0] * (b[1] * c[2] - b[2] * c[1])
        - a[1] * (b[0] * c[2] - b[2] * c[0])
        + a[2] * (b[0] * c[1] - b[1] * c[0])
    )


@parallel_jit
def _minimum_at(disp, index, out):
    _, nx, ny, nz = disp.shape
    for n in prange(index.shape[0]):
        x, y, z = index[n, 0], index[n, 1], index[n, 2]
        a, b, c = np.empty(3), np.empty(3), np.empty(3)
        smallest = np.inf
        for s in range(8):
            i, j, k = 1 - 2 * (s & 1), 1 - (s & 2), 1 - ((s & 4) >> 1)
            if not (0 <= x + i < nx and 0 <= y + j < ny and 0 <= z + k < nz):
                continue
            _edge(disp, x, y, z, i, 0, 0, a)
            _edge(disp, x, y, z, 0, j, 0, b)
            _edge(disp, x, y, z, 0, 0, k, c)
            smallest = min(smallest, i * j * k * _det(a, b, c))
            if i == j and j == k:
                # Central tetrahedra of the cubes above and below the voxel.
                _edge(disp, x, y, z, i, j, 0, a)
                _edge(disp, x, y, z, i, 0, k, b)
                _edge(disp, x, y, z, 0, j, k, c)
                smallest = min(smallest, -i * _det(a, b, c))
        out[n] = smallest


def smooth_marked(disp, index):
    """Replace the vectors of some voxels by the binomial (1-2-1) mean of their neighbourhood.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
        Changed in place; all means are taken before any is written.
    index : ndarray (N, 3) of int
        Voxels, each at most once.
    """
    values = np.empty((len(index), 3), np.float32)
    _averages(disp, index, values)
    _scatter(disp, index, values)
    return disp


def minimum_determinant_at(disp, index):
    """`minimum_determinant` at some voxels only.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
    index : ndarray (N, 3) of int

    Returns
    -------
    ndarray (N,) float64
    """
    out = np.empty(len(index), np.float64)
    _minimum_at(disp, index, out)
    return out
