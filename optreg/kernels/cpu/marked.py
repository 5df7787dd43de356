"""Sets of voxels, as flat indices: their neighbours, and where a field takes them."""

from __future__ import annotations

import numpy as np
from numba import prange

from optreg.kernels.cpu._jit import jit, parallel_jit

__all__ = ["landing", "spread", "voxel"]


@jit
def voxel(flat, ny, nz):
    """Coordinates of a flat index."""
    row = flat // nz
    return row // ny, row % ny, flat % nz


@jit
def _add(flat, found, count, seen):
    """Append voxels that were not seen yet; how many there are then."""
    for n in range(len(flat)):
        if not seen[flat[n]]:
            seen[flat[n]] = True
            found[count] = flat[n]
            count += 1
    return count


@jit
def _add_beside(first, last, stride, size, found, count, seen):
    """Append the two neighbours along an axis of some that were found."""
    for n in range(first, last):
        here = found[n]
        at = here // stride % size
        if at > 0 and not seen[here - stride]:
            seen[here - stride] = True
            found[count] = here - stride
            count += 1
        if at < size - 1 and not seen[here + stride]:
            seen[here + stride] = True
            found[count] = here + stride
            count += 1
    return count


@jit
def _spread(count, shape, corners, rounds, found, seen):
    nx, ny, nz = shape
    for _ in range(rounds):
        last = count
        for stride, size in ((1, nz), (nz, ny), (ny * nz, nx)):
            if corners:  # neighbours of neighbours along the axes before
                last = count
            count = _add_beside(0, last, stride, size, found, count, seen)
    return count


@parallel_jit
def _landing(disp, flat, out):
    _, nx, ny, nz = disp.shape
    size = (nx, ny, nz)
    for n in prange(len(flat)):
        at = voxel(flat[n], ny, nz)
        x, y, z = at
        where = np.int64(0)
        for c in range(3):
            position = np.rint(np.float64(at[c]) + np.float64(disp[c, x, y, z]))
            # Written so that a NaN stays in the volume.
            inside = min(position, np.float64(size[c] - 1)) if position > 0 else 0.0
            where = where * size[c] + np.int64(inside)
        out[n] = where


def spread(parts, shape, corners=True, rounds=1):
    """Voxels of any of several sets, and their neighbours.

    Parameters
    ----------
    parts : list of ndarray (N,) of int64
        Flat indices.
    shape : tuple of int
        Of the volume.
    corners : bool
        All 26 neighbours instead of the six that share a face.
    rounds : int
        How often; 0 for the sets themselves.

    Returns
    -------
    ndarray (N,) of int64
        Each once, in any order.
    """
    voxels = shape[0] * shape[1] * shape[2]
    marked = sum(len(part) for part in parts)
    reach = 2 * rounds + 1 if rounds else 1
    # Memory that is not written to takes none.
    found = np.empty(min(marked * reach**3, voxels), np.int64)
    seen, count = np.zeros(voxels, bool), 0
    for part in parts:
        count = _add(part, found, count, seen)
    return found[: _spread(count, shape, corners, rounds, found, seen)].copy()


def landing(disp, marked):
    """Voxels nearest to where a displacement takes some voxels.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
        Displacement in voxels.
    marked : ndarray (N,) of int64
        Flat indices.

    Returns
    -------
    ndarray (N,) of int64
        Flat indices, in the same order; what leaves the volume ends at its border.
    """
    out = np.empty(len(marked), np.int64)
    _landing(disp, marked, out)
    return out
