"""When to search, and what comes of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from optreg.config import DiscreteConfig
from optreg.kernels import Backend
from optreg.preprocess import foreground_overlap

__all__ = ["search"]

_log = logging.getLogger("optreg")
_ALIGNED = 0.9
"""Foreground Dice above which a continuous start needs no help: brains that are affinely aligned
have 0.946 to 0.962, with a mask that is 4 mm too small for one of them 0.91. After a shift of 10 mm
it is 0.89, and the search gains .03 to .05 Dice of labels."""
_APART = 0.5
"""Foreground Dice under which the search is unlikely to be enough."""


def search(
    fixed: Sequence[Any],
    moving: Sequence[Any],
    config: DiscreteConfig,
    backend: Backend,
    regions: tuple[Any, Any] = (None, None),
    still_axes: tuple[int, ...] = (),
) -> tuple[Any, Any] | None:
    """Coarse displacement and its inverse by discrete search, or None where it is not needed.

    Parameters
    ----------
    fixed, moving : sequence of (X, Y, Z) float32 array
        Normalized intensities of each channel, background 0; the first has the foreground.
    regions : pair of (X, Y, Z) float32 array or None
        How much the voxels of either image count, 0..1.
    still_axes : tuple of int
        Array axes along which nothing is displaced.
    """
    if config.enabled == "off":
        return None
    if config.enabled == "auto":
        overlap = foreground_overlap(fixed[0], moving[0], regions)
        if overlap > _ALIGNED:
            return None
        _log.info("foregrounds overlap by %.2f: discrete search", overlap)
        if overlap < _APART:
            _log.warning(
                "foregrounds overlap by %.2f only: the images may lie apart; try init affine",
                overlap,
            )
    from optreg.discrete.coupled_convex import solve_discrete

    return solve_discrete(fixed, moving, backend, config, regions=regions, still_axes=still_axes)
