"""Discrete search with coupled convex optimization.

Every control point chooses its displacement out of a window, but pays for leaving a smooth field;
the choices are smoothed and the price rises, until choice and smooth field agree (Heinrich et al.
2014, doi 10.1007/978-3-319-08554-8_6; Siebert et al. 2024, ConvexAdam). All displacements of the
window are looked at, so no start is too far away as long as the window holds the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from optreg.config import DiscreteConfig
from optreg.discrete.consistency import make_consistent, to_full_resolution, without_folds
from optreg.discrete.cost_volume import confidence
from optreg.features.mind import pooled, pooled_mind
from optreg.kernels import Backend

__all__ = ["search_grid", "solve_discrete"]

_SIGMA_STEPS = 1.0
"""Smoothing of the field between the rounds, in grid steps."""

_NEVER = 1e9
"""Cost of a displacement that is not allowed."""

_TIE_BREAK = 1e-2
"""Coupling to zero in the first choice, relative to the first of the rounds."""


def search_grid(
    fixed: Any,
    moving: Any,
    radius: int,
    couplings: tuple[float, ...],
    backend: Backend,
    region: Any | None = None,
    still_axes: tuple[int, ...] = (),
) -> Any:
    """Displacement field of the control grid from one feature volume to another.

    Parameters
    ----------
    fixed, moving : (C, x, y, z) float32 array
        Features on the control grid.
    radius : int
        Half width of the search window, in grid steps.
    couplings : tuple of float
        Weight of the squared distance (grid steps) to the smooth field, one per round.
    region : (x, y, z) float32 array, optional
        How much each point of the fixed grid counts.
    still_axes : tuple of int
        Array axes along which nothing is displaced.

    Returns
    -------
    (3, x, y, z) float32 array
        Smooth field in grid steps.
    """
    k, xp = backend.kernels, backend.xp
    cost = k.cost_volume(fixed, moving, radius)
    if region is not None:
        cost *= region
    weight = confidence(cost, backend)
    if still_axes:
        offsets = np.indices((2 * radius + 1,) * 3).reshape(3, -1)[list(still_axes)] - radius
        cost[xp.asarray(np.any(offsets != 0, axis=0))] = _NEVER
    # Positive everywhere: no weight is below the smallest.
    total = k.gaussian_filter(weight, _SIGMA_STEPS)
    smooth = xp.zeros((3, *weight.shape), xp.float32)
    for coupling in (_TIE_BREAK * couplings[0], *couplings):
        chosen = k.convex_step(cost, smooth, coupling)
        smooth = k.gaussian_filter(chosen * weight, _SIGMA_STEPS) / total
    return smooth


def solve_discrete(
    fixed: Sequence[Any],
    moving: Sequence[Any],
    backend: Backend,
    config: DiscreteConfig | None = None,
    features: tuple[Any, Any] | None = None,
    regions: tuple[Any, Any] = (None, None),
    still_axes: tuple[int, ...] = (),
) -> tuple[Any, Any]:
    """Coarse transformation between two images by discrete search.

    Parameters
    ----------
    fixed, moving : sequence of (X, Y, Z) float32 array
        Normalized intensities of each channel, of one shape; the contrasts may differ.
    config : DiscreteConfig, optional
        Grid spacing, window, couplings and MIND parameters. The window reaches
        ``grid_vox * radius`` voxels.
    features : pair of (C, x, y, z) float32 array, optional
        Of both images on the control grid, instead of pooled MIND-SSC.
    regions : pair of (X, Y, Z) float32 array or None
        How much the voxels of either image count, 0..1.
    still_axes : tuple of int
        Array axes along which nothing is displaced.

    Returns
    -------
    forward, backward : (3, X, Y, Z) float32 array
        ``moving(x + forward(x))`` looks like ``fixed(x)``, and the inverse of it. Voxels, free of
        folds.
    """
    config = config or DiscreteConfig()
    spacing = config.grid_vox
    if features is None:
        mind = config.mind_radius, config.mind_dilation
        described = [
            [pooled_mind(volume, spacing, backend, *mind) for volume in side]
            for side in (fixed, moving)
        ]
        concatenate = backend.xp.concatenate
        features = concatenate(described[0]), concatenate(described[1])
    # One direction after the other: only one cost volume is held at a time.
    there, back = (None if r is None else pooled(r, spacing, backend) for r in regions)
    window, couplings = config.radius, config.couplings
    forward = search_grid(*features, window, couplings, backend, there, still_axes)
    backward = search_grid(*features[::-1], window, couplings, backend, back, still_axes)
    forward, backward = make_consistent(forward, backward, backend)
    forward = to_full_resolution(forward, fixed[0].shape, spacing, backend)
    forward = without_folds(forward, float(spacing), backend)
    # The averaging leaves a residual between the two: a later composition would carry it along.
    backward = to_full_resolution(backward, fixed[0].shape, spacing, backend)
    return forward, backend.kernels.invert(forward, initial=backward)
