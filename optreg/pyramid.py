"""From coarse to fine: the one driver of everything that works on several resolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optreg.kernels import Backend

__all__ = ["build_pyramid", "coarse_to_fine"]


def build_pyramid(volumes: tuple[Any, ...], levels: int, backend: Backend) -> list[tuple[Any, ...]]:
    """Volumes (..., X, Y, Z) at `levels` resolutions, a factor of two apart, coarsest first.

    The last three sizes must be divisible by ``2 ** (levels - 1)``.
    """
    pyramid = [volumes]
    for _ in range(levels - 1):
        pyramid.append(tuple(backend.kernels.downsample(v) for v in pyramid[-1]))
    return pyramid[::-1]


def coarse_to_fine(
    pyramid: list[tuple[Any, ...]],
    solve: Callable[[int, tuple[Any, ...], Any], Any],
    initial: Any,
    backend: Backend,
) -> Any:
    """Call ``solve(level, volumes, fields)`` on every level, its fields upsampled in between.

    Parameters
    ----------
    pyramid : list of tuple of array
        From `build_pyramid`.
    solve : callable
        Returns the improved tuple of displacement fields (3, X, Y, Z) in voxels of its level.
    initial : tuple of array
        Fields on the coarsest level.
    """
    fields = initial
    for level, volumes in enumerate(pyramid):
        if level:
            fields = tuple(backend.kernels.upsample(f, 2.0) for f in fields)
        fields = solve(level, volumes, fields)
    return fields
