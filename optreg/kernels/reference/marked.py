"""Sets of voxels, as flat indices, in NumPy and SciPy."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def spread(parts, shape, corners=True, rounds=1):
    """Voxels of any of several sets, and their 6 or 26 neighbours."""
    marked = np.zeros(shape, bool)
    for part in parts:
        marked.reshape(-1)[part] = True
    element = ndimage.generate_binary_structure(3, 3 if corners else 1)
    if rounds:
        marked = ndimage.binary_dilation(marked, element, rounds)
    return np.flatnonzero(marked)


def landing(disp, marked):
    """Voxels nearest to where a displacement takes some voxels."""
    shape = disp.shape[1:]
    start = np.array(np.unravel_index(marked, shape))
    moved = np.rint(start + disp.reshape(3, -1)[:, marked].astype(np.float64))
    return np.ravel_multi_index(tuple(moved.astype(int)), shape, mode="clip")
