"""Alignment of centres of mass and principal spreads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optreg.errors import InputError
from optreg.image import Image
from optreg.intensities import foreground
from optreg.transform import Affine

__all__ = ["align_moments"]


def _moments(image: Image, role: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and per-axis spread (RAS mm) of the foreground; intensities take no part."""
    index = np.argwhere(foreground(np.asarray(image.data)))
    if len(index) < 2:
        raise InputError(f"{image.name or role}: no foreground to take moments of")
    world = image.grid.voxel_to_world(index)
    return world.mean(axis=0), world.std(axis=0)


def align_moments(fixed: Image, moving: Image, scale: bool = True) -> Affine:
    """Affine from the fixed to the moving world that matches centre and extent of the foregrounds.

    Only the shape of the foreground counts, so the contrasts may differ.

    Parameters
    ----------
    fixed, moving : Image
        Images with background 0.
    scale : bool
        Match the standard deviations along the world axes too, not the centres alone.

    Raises
    ------
    InputError
        An image without foreground.
    """
    centre_f, spread_f = _moments(fixed, "fixed")
    centre_m, spread_m = _moments(moving, "moving")
    ratio = spread_m / np.maximum(spread_f, 1e-6) if scale else np.ones(3)
    matrix = np.diag([*ratio, 1.0])
    matrix[:3, 3] = centre_m - ratio * centre_f
    return Affine(matrix)
