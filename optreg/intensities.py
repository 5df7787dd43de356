"""Which intensities of an image are its background."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["Intensities", "find_intensities", "foreground"]

_DUST = 1e-3
"""Part of the intensities of the foreground that is none: interpolation leaves such traces around
it, and no tissue is so dark."""
_RINGING = 0.1
"""The same below zero: what interpolation leaves there does not make zero foreground."""
_BACKGROUND = 1.0
"""Percent of the voxels that a background below zero has at least: single ones may be damaged, and
cubic interpolation goes below zero along sharp borders."""
_SAMPLES = 100_000
"""Voxels that tell a percentile to a part in a thousand, about."""


class Intensities(NamedTuple):
    """What intensities of an image mean.

    Attributes
    ----------
    base : float
        That of the background.
    floor : float
        Foreground is above it.
    top : float
        High percentile of the foreground.
    """

    base: float
    floor: float
    top: float


def find_intensities(
    data: Any,
    percentile: float = 99.0,
    xp: Any = np,
    region: Any | None = None,
    sparse: bool = False,
) -> Intensities:
    """Background and foreground of an image.

    The background is zero, or what is smallest where there are negative values, more and larger
    ones than an interpolation leaves.

    Parameters
    ----------
    data : (X, Y, Z) array
    percentile : float
        Of the foreground, for the top.
    region : (X, Y, Z) array, optional
        The percentile is that of voxels where it is above 0.
    sparse : bool
        A grid of voxels, no more than a percentile needs, is looked at for it.
    """
    step = max(1, round((data.size / _SAMPLES) ** (1 / 3))) if sparse else 1
    thin = (slice(None, None, step),) * 3
    values = data[thin]
    values = values.astype(xp.uint8) if values.dtype.kind == "b" else values
    counted = None if region is None else region[thin] > 0

    def above(level: float) -> Any:
        mask = values > level
        found = values[mask if counted is None else mask & counted]
        # A tenth of the voxels gives the percentile to well below the noise.
        return found[:: max(1, len(found) // 500_000)]

    def top_of(found: Any, base: float) -> float:
        top = float(xp.percentile(found, percentile)) if len(found) else base
        return top if top > base else float(data.max())

    base, found = 0.0, above(0.0)
    top = top_of(found, base)
    low = float(data.min())
    if low < -_RINGING * top:
        low = float(xp.percentile(values, _BACKGROUND))
    if low < -_RINGING * top:
        base, found = low, above(low)
        top = top_of(found, base)
    # Traces count for nothing in the percentile.
    clean = found[found > base + _DUST * (top - base)]
    if len(clean) < len(found):
        top = top_of(clean, base)
    return Intensities(base, base + _DUST * (top - base), top)


def foreground(data: Any, xp: Any = np) -> Any:
    """(X, Y, Z) bool: where an image is above its background."""
    return data > find_intensities(data, xp=xp, sparse=True).floor
