"""Removal of folds: smooth a field where, and only where, it folds."""

from __future__ import annotations

import logging
from typing import Any

from optreg.config import RepairConfig
from optreg.kernels import Backend

__all__ = ["repair_folds"]

_log = logging.getLogger("optreg")
_CROSS = [(0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
_CUBE = [(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]
_WIDEN_EVERY = 40


def _neighbourhood(index: Any, offsets: list[tuple[int, int, int]], shape: Any, xp: Any) -> Any:
    """The voxels (N, 3) and their neighbours at `offsets` inside the grid, each once."""
    size = xp.asarray(shape)
    moved = (index[:, None] + xp.asarray(offsets)).reshape(-1, 3)
    moved = moved[((moved >= 0) & (moved < size)).all(axis=1)]
    flat = xp.unique((moved[:, 0] * shape[1] + moved[:, 1]) * shape[2] + moved[:, 2])
    rest, z = flat // shape[2], flat % shape[2]
    return xp.ascontiguousarray(xp.stack([rest // shape[1], rest % shape[1], z], axis=1))


def repair_folds(disp: Any, config: RepairConfig, backend: Backend) -> int:
    """Make all ten finite-difference determinants exceed the threshold, in place.

    Voxels with a determinant below the threshold and their neighbours are averaged with what is
    around them until none is left; only the surroundings of changed voxels are looked at again.
    Smoothing drives a field towards a locally constant displacement, whose determinants are one,
    so this ends; should the local rounds run out, the whole field is smoothed ever wider.

    Parameters
    ----------
    disp : (3, X, Y, Z) float32 array
        Displacement in voxels, exactly as it will be exported.

    Returns
    -------
    int
        Number of voxels whose displacement changed.
    """
    xp, k, shape = backend.xp, backend.kernels, disp.shape[1:]
    bad = xp.argwhere(k.minimum_determinant(disp) <= config.threshold)
    changed = xp.zeros(shape, bool)
    for round_ in range(config.max_rounds):
        if len(bad) == 0:
            return int(changed.sum())
        marked = bad
        # Widening sooner would push folds ahead of its rim instead of dissolving them.
        for _ in range(1 + round_ // _WIDEN_EVERY):
            marked = _neighbourhood(marked, _CROSS, shape, xp)
        changed[marked[:, 0], marked[:, 1], marked[:, 2]] = True
        k.smooth_marked(disp, marked)
        around = _neighbourhood(marked, _CUBE, shape, xp)
        bad = around[k.minimum_determinant_at(disp, around) <= config.threshold]
    sigma = 0.5
    while bool((k.minimum_determinant(disp) <= config.threshold).any()):
        _log.warning("folds left after the local rounds; the whole field is smoothed")
        k.gaussian_filter(disp, sigma, disp)
        sigma *= 1.5
        changed[:] = True
    return int(changed.sum())
