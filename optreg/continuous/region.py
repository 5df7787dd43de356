"""Where an image counts while it is warped and looked at from several resolutions."""

from __future__ import annotations

from typing import Any

from optreg.kernels import Backend

__all__ = ["Region", "build_regions", "joint_weights"]

_ALL = 0.99
"""Share of a sample that has to be known. Less, and what leaks out of the unknown pulls."""


class Region:
    """How much the voxels of one image count.

    Parameters
    ----------
    weights : (X, Y, Z) float32 array
        0 (unknown) to 1.
    """

    def __init__(self, weights: Any, backend: Backend, known: Any | None = None):
        xp, self._backend = backend.xp, backend
        self._known = (weights > 0).astype(xp.float32) if known is None else known
        plain = bool((weights == self._known).all())
        self._weights = None if plain else weights
        self._moved = [xp.empty_like(weights) for _ in range(1 if plain else 2)]

    def halved(self) -> Region:
        """The same at half the resolution."""
        k, xp = self._backend.kernels, self._backend.xp
        known = (k.downsample(self._known) > _ALL).astype(xp.float32)
        weights = known if self._weights is None else known * k.downsample(self._weights)
        return Region(weights, self._backend, known)

    def at(self, field: Any | None) -> Any:
        """Weights (X, Y, Z) at displaced positions, 0 where they are not quite known.

        The array belongs to the region, and may be changed until the next call.
        """
        k = self._backend.kernels
        if field is None:
            out = self._moved[0]
            out[...] = self._known if self._weights is None else self._weights
            return out
        known = k.warp(self._known, field, self._moved[0])
        known[...] = known > _ALL
        if self._weights is not None:
            known *= k.warp(self._weights, field, self._moved[1])
        return known


def build_regions(weights: Any | None, levels: int, backend: Backend) -> list[Region | None]:
    """Region at `levels` resolutions, coarsest first; None where all counts."""
    if weights is None:
        return [None] * levels
    regions = [Region(weights, backend)]
    for _ in range(levels - 1):
        regions.append(regions[-1].halved())
    return [*regions[::-1]]


def joint_weights(
    regions: tuple[Region | None, Region | None], fields: tuple[Any, ...]
) -> Any | None:
    """Product of the weights of both images at half fields, or at one field of the moving image."""
    fixed, moving = regions
    first = None if fixed is None else fixed.at(fields[0] if len(fields) == 2 else None)
    second = None if moving is None else moving.at(fields[-1])
    if first is None or second is None:
        return second if first is None else first
    first *= second
    return first
