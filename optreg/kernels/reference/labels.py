"""Label maps: warping by nearest neighbour, distances of surfaces; NumPy and SciPy."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def warp_labels(labels, disp):
    """Warp a label map by nearest neighbour; 0 where the position leaves the image.

    This is the call of the challenge evaluators. It differs from ``warp_nearest`` at the border
    (zero instead of the edge) and takes positions in float64, so that ties fall the same way.

    Parameters
    ----------
    labels : ndarray (X, Y, Z) of integers
        Moving labels.
    disp : ndarray (3, X', Y', Z')
        Displacement in voxels on the fixed grid.

    Returns
    -------
    ndarray (X', Y', Z'), type of ``labels``
    """
    position = np.indices(disp.shape[1:]) + np.asarray(disp, np.float64)
    return ndimage.map_coordinates(labels, position, order=0)


def nearest_of_label(cells, start, others, other_start, offsets, lengths, size):
    """Distance of each cell to the nearest of some other cells that have its label.

    Only some neighbours are looked at: what is farther has no distance here.

    Parameters
    ----------
    cells, others : ndarray (N,), (M,) of int64
        Flat indices into a grid, sorted by label; so far from its border that no offset leads out.
    start, other_start : ndarray (labels + 1,) of int64
        Where in `cells` and `others` each label begins.
    offsets : ndarray (K,) of int64
        Flat offsets of the neighbours, nearest first.
    lengths : ndarray (K,) of float64
        Their distances, ascending.
    size : int
        Number of cells of the grid.

    Returns
    -------
    ndarray (N,) of float64
        Infinite where no neighbour has the label.
    """
    out = np.full(len(cells), np.inf)
    for label in range(len(start) - 1):
        mine = slice(start[label], start[label + 1])
        marked = np.zeros(size, bool)
        marked[others[other_start[label] : other_start[label + 1]]] = True
        found = marked[cells[mine, None] + offsets]
        out[mine] = np.where(found.any(axis=1), lengths[found.argmax(axis=1)], np.inf)
    return out
