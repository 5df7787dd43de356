"""From two noisy coarse fields to one smooth transformation and its inverse."""

from __future__ import annotations

import logging
from typing import Any

from optreg.kernels import Backend

__all__ = ["make_consistent", "to_full_resolution", "without_folds"]

_log = logging.getLogger("optreg")
_LEAST_DETERMINANT = 0.1
_SMOOTHINGS = 30


def make_consistent(
    forward: Any, backward: Any, backend: Backend, iterations: int = 15
) -> tuple[Any, Any]:
    """Average each of two fields with the approximate inverse of the other, repeatedly.

    Parameters
    ----------
    forward, backward : (3, x, y, z) float32 array
        Displacements from fixed to moving and back, in steps of their grid.
    """
    for _ in range(iterations):
        there = forward - backend.kernels.warp(backward, forward)
        back = backward - backend.kernels.warp(forward, backward)
        forward, backward = 0.5 * there, 0.5 * back
    return forward, backward


def without_folds(disp: Any, sigma: float, backend: Backend) -> Any:
    """Field (3, x, y, z), smoothed as a whole until nothing in it is folded or nearly so."""
    for _ in range(_SMOOTHINGS):
        if float(backend.kernels.minimum_determinant(disp).min()) > _LEAST_DETERMINANT:
            return disp
        disp = backend.kernels.gaussian_filter(disp, sigma)
        sigma *= 1.2
    _log.warning("the discrete search found no transformation that can be inverted; left out")
    return backend.xp.zeros_like(disp)


def to_full_resolution(
    disp: Any, shape: tuple[int, int, int], spacing_vox: int, backend: Backend
) -> Any:
    """Field of a control grid at every voxel, linear, in voxels.

    Parameters
    ----------
    disp : (3, x, y, z) float32 array
        In grid steps; its points are the centres of cubes of `spacing_vox` voxels.
    shape : tuple of int
        Of the image.

    Returns
    -------
    (3, X, Y, Z) float32 array
    """
    xp = backend.xp
    offset = xp.empty((3, *shape), xp.float32)
    for axis, n in enumerate(shape):
        voxel = xp.arange(n, dtype=xp.float32)
        along = [1, 1, 1]
        along[axis] = n
        position = (voxel - 0.5 * (spacing_vox - 1)) / spacing_vox
        offset[axis] = (position - voxel).reshape(along)
    full = backend.kernels.warp(disp, offset)
    full *= xp.float32(spacing_vox)
    # Rounds off the creases of the linear interpolation, which would meet the refinement's forces.
    return backend.kernels.gaussian_filter(full, 0.5 * spacing_vox, full)
