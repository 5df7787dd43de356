"""Warping of label maps by nearest neighbour, in SciPy."""

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
