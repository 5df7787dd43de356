"""When to search, and what comes of it."""

from __future__ import annotations

import logging
from typing import Any

from optreg.config import DiscreteConfig
from optreg.kernels import Backend

__all__ = ["foreground_overlap", "search"]

_log = logging.getLogger("optreg")
_ALIGNED = 0.85
"""Foreground Dice above which a continuous start needs no help (affinely aligned: 0.95)."""


def foreground_overlap(fixed: Any, moving: Any) -> float:
    """Dice coefficient of the foregrounds (> 0)."""
    f, m = fixed > 0, moving > 0
    return 2.0 * float((f & m).sum()) / max(float(f.sum() + m.sum()), 1.0)


def search(
    fixed: Any,
    moving: Any,
    config: DiscreteConfig,
    backend: Backend,
    regions: tuple[Any, Any] = (None, None),
    still_axes: tuple[int, ...] = (),
) -> tuple[Any, Any] | None:
    """Coarse displacement and its inverse by discrete search, or None where it is not needed.

    Parameters
    ----------
    fixed, moving : (X, Y, Z) float32 array
        Normalized intensities, background 0.
    regions : pair of (X, Y, Z) float32 array or None
        How much the voxels of either image count, 0..1.
    still_axes : tuple of int
        Array axes along which nothing is displaced.
    """
    if config.enabled == "off":
        return None
    if config.enabled == "auto":
        overlap = foreground_overlap(fixed, moving)
        if overlap > _ALIGNED:
            return None
        _log.info("foregrounds overlap by %.2f: discrete search", overlap)
    from optreg.discrete.coupled_convex import solve_discrete

    return solve_discrete(fixed, moving, backend, config, regions=regions, still_axes=still_axes)
