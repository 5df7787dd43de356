"""What the search compares: costs of all displacements, and how much they say."""

from __future__ import annotations

from typing import Any

from optreg.kernels import Backend

__all__ = ["confidence"]

_LEAST = 1e-3
"""Weight of a control point that cannot tell displacements apart."""


def confidence(cost: Any, backend: Backend) -> Any:
    """Weight of each control point in the smoothing, in 0.001..1.

    A point in the background costs the same wherever it goes: its displacement is arbitrary and
    must not pull the ones beside it. The weight is by how much the best displacement beats the
    average one.

    Parameters
    ----------
    cost : (D, x, y, z) float32 array
        Cost volume.

    Returns
    -------
    (x, y, z) float32 array
    """
    xp = backend.xp
    contrast = cost.mean(axis=0) - cost.min(axis=0)
    largest = max(float(contrast.max()), 1e-12)
    return xp.maximum(contrast / xp.float32(largest), xp.float32(_LEAST))
