"""Label maps: warping by nearest neighbour, distances of surfaces; numba."""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, prange

from optreg.kernels.cpu._jit import parallel_jit


@parallel_jit
def _warp_labels(labels, disp, out):
    nx, ny, nz = labels.shape
    last_x, last_y, last_z = np.float64(nx - 1), np.float64(ny - 1), np.float64(nz - 1)
    for x in prange(disp.shape[1]):
        for y in range(disp.shape[2]):
            dx, dy, dz = disp[0, x, y], disp[1, x, y], disp[2, x, y]
            for z in range(disp.shape[3]):
                px, py = np.float64(x) + dx[z], np.float64(y) + dy[z]
                pz = np.float64(z) + dz[z]
                # Written so that a NaN counts as outside.
                inside = px >= 0.0 and px <= last_x and py >= 0.0 and py <= last_y
                if inside and pz >= 0.0 and pz <= last_z:
                    # Half-way positions go up; truncation is floor for what is not negative.
                    out[x, y, z] = labels[int(px + 0.5), int(py + 0.5), int(pz + 0.5)]
                else:
                    out[x, y, z] = 0


def warp_labels(labels, disp):
    """Warp a label map, 0 outside the image; see ``kernels.reference.labels``."""
    labels, disp = np.ascontiguousarray(labels), np.asarray(disp)
    dtype = np.float32 if disp.dtype == np.float32 else np.float64
    out = np.empty(disp.shape[1:], labels.dtype)
    _warp_labels(labels, np.ascontiguousarray(disp, dtype), out)
    return out


@parallel_jit
def _nearest_of_label(cells, start, others, other_start, offsets, lengths, size, threads, out):
    for thread in prange(threads):
        marked = np.zeros(size, np.bool_)
        for label in range(thread, start.size - 1, threads):
            first, last = other_start[label], other_start[label + 1]
            for j in range(first, last):
                marked[others[j]] = True
            for i in range(start[label], start[label + 1]):
                out[i] = np.inf
                for k in range(offsets.size):
                    if marked[cells[i] + offsets[k]]:
                        out[i] = lengths[k]
                        break
            for j in range(first, last):
                marked[others[j]] = False


def nearest_of_label(cells, start, others, other_start, offsets, lengths, size):
    """Distance to the nearest cell of the same label; see ``kernels.reference.labels``."""
    out = np.empty(len(cells))
    arguments = cells, start, others, other_start, offsets, lengths, size
    # Asked for here: code that asks inside cannot be kept on disk.
    _nearest_of_label(*arguments, get_num_threads(), out)
    return out
