"""What the refinement maximizes: a value and the force between two warped feature volumes."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = ["Similarity", "local_correlation", "squared_difference"]

Similarity = Callable[[ModuleType, list[Any], int, Any], float]
"""Called as ``similarity(kernels, [fixed, moving], radius_vox, force)``."""


def local_correlation(weights: tuple[float, ...], eps: float) -> Similarity:
    """Weighted mean of the squared local correlation of each channel."""

    def value(kernels: ModuleType, warped: list[Any], radius: int, force: Any) -> float:
        fixed, moving = warped
        total = 0.0
        for c, weight in enumerate(weights):
            total += weight * kernels.lncc(
                fixed[c], moving[c], radius, eps, force, weight=weight, add=c > 0
            )
        return total / sum(weights)

    return value


def squared_difference() -> Similarity:
    """Minus the mean squared difference over all channels."""

    def value(kernels: ModuleType, warped: list[Any], radius: int, force: Any) -> float:
        return -kernels.ssd(*warped, force)

    return value
