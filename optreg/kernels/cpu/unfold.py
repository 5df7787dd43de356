"""Local smoothing of a displacement field around folded voxels."""

from __future__ import annotations

import numpy as np
from numba import prange

from optreg.kernels.cpu._jit import inline_jit, jit, parallel_jit
from optreg.kernels.cpu.marked import voxel

__all__ = ["minimum_determinant_at", "smooth_marked"]


@parallel_jit
def _averages(disp, marked, values):
    _, nx, ny, nz = disp.shape
    for n in prange(len(marked)):
        x, y, z = voxel(marked[n], ny, nz)
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
def _scatter(disp, marked, values):
    _, _, ny, nz = disp.shape
    for n in prange(len(marked)):
        x, y, z = voxel(marked[n], ny, nz)
        for c in range(3):
            disp[c, x, y, z] = values[n, c]


@inline_jit
def _edge(disp, x, y, z, i, j, k):
    """Deformed vector from a voxel to its neighbour at offset (i, j, k)."""
    p, q, r = x + i, y + j, z + k
    a = np.float64(disp[0, p, q, r]) - np.float64(disp[0, x, y, z])
    b = np.float64(disp[1, p, q, r]) - np.float64(disp[1, x, y, z])
    c = np.float64(disp[2, p, q, r]) - np.float64(disp[2, x, y, z])
    return a + i, b + j, c + k


@inline_jit
def _det(a, b, c):
    return (
        a[0] * (b[1] * c[2] - b[2] * c[1])
        - a[1] * (b[0] * c[2] - b[2] * c[0])
        + a[2] * (b[0] * c[1] - b[1] * c[0])
    )


@jit
def _corner(disp, x, y, z, i, j, k, smallest):
    """Smallest determinant so far, and those of a corner that may lie outside the grid."""
    _, nx, ny, nz = disp.shape
    if not (0 <= x + i < nx and 0 <= y + j < ny and 0 <= z + k < nz):
        return smallest
    a, b = _edge(disp, x, y, z, i, 0, 0), _edge(disp, x, y, z, 0, j, 0)
    smallest = min(smallest, i * j * k * _det(a, b, _edge(disp, x, y, z, 0, 0, k)))
    if i == j and j == k:
        # Central tetrahedra of the cubes above and below the voxel.
        a, b = _edge(disp, x, y, z, i, j, 0), _edge(disp, x, y, z, i, 0, k)
        smallest = min(smallest, -i * _det(a, b, _edge(disp, x, y, z, 0, j, k)))
    return smallest


@jit
def _inside(disp, x, y, z):
    """All ten, where no corner is outside: every edge is taken once."""
    a, p = _edge(disp, x, y, z, 1, 0, 0), _edge(disp, x, y, z, -1, 0, 0)
    b, q = _edge(disp, x, y, z, 0, 1, 0), _edge(disp, x, y, z, 0, -1, 0)
    c, r = _edge(disp, x, y, z, 0, 0, 1), _edge(disp, x, y, z, 0, 0, -1)
    smallest = min(_det(a, b, c), -_det(p, b, c), -_det(a, q, c), _det(p, q, c))
    smallest = min(smallest, -_det(a, b, r), _det(p, b, r), _det(a, q, r), -_det(p, q, r))
    a, b = _edge(disp, x, y, z, 1, 1, 0), _edge(disp, x, y, z, 1, 0, 1)
    p, q = _edge(disp, x, y, z, -1, -1, 0), _edge(disp, x, y, z, -1, 0, -1)
    c, r = _edge(disp, x, y, z, 0, 1, 1), _edge(disp, x, y, z, 0, -1, -1)
    return min(smallest, -_det(a, b, c), _det(p, q, r))


@parallel_jit
def _minimum_at(disp, marked, out):
    _, nx, ny, nz = disp.shape
    for n in prange(len(marked)):
        x, y, z = voxel(marked[n], ny, nz)
        if 0 < x < nx - 1 and 0 < y < ny - 1 and 0 < z < nz - 1:
            out[n] = _inside(disp, x, y, z)
        else:
            smallest = np.inf
            for s in range(8):
                i, j, k = 1 - 2 * (s & 1), 1 - (s & 2), 1 - ((s & 4) >> 1)
                smallest = _corner(disp, x, y, z, i, j, k, smallest)
            out[n] = smallest


def smooth_marked(disp, marked):
    """Replace the vectors of some voxels by the binomial (1-2-1) mean of their neighbourhood.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
        Changed in place; all means are taken before any is written.
    marked : ndarray (N,) of int64
        Flat indices of voxels, each at most once.
    """
    values = np.empty((len(marked), 3), np.float32)
    _averages(disp, marked, values)
    _scatter(disp, marked, values)
    return disp


def minimum_determinant_at(disp, marked):
    """`minimum_determinant` at some voxels only.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
    marked : ndarray (N,) of int64
        Flat indices of voxels.

    Returns
    -------
    ndarray (N,) float64
    """
    out = np.empty(len(marked), np.float64)
    _minimum_at(disp, marked, out)
    return out
