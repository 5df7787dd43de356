"""Grids whose axes point where a code such as RAS says."""

from __future__ import annotations

import numpy as np

from optreg.grid import Grid


def oriented(code, shape=(6, 7, 8), spacing=(1.0, 2.0, 3.0)):
    """A grid whose array axes point where `code` says."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, letter in enumerate(code):
        world = next(w for w, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        affine[world, axis] = spacing[axis] * (1 if letter in "RAS" else -1)
    return Grid(shape, affine)
