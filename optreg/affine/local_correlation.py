"""Dissimilarity that looks at borders inside the object and is blind to shading."""

from __future__ import annotations

from typing import Any

from optreg.affine.objective import Curvature
from optreg.kernels import Backend

__all__ = ["LocalCorrelation"]

_RADIUS = 1
_CONTRAST = 1e-3
"""Variance at which a cube of the fixed image counts by half."""
_FLAT = 1e-5
"""Variance of the moving image that is taken for noise: what fits it is chance."""


class LocalCorrelation:
    """One minus the mean squared correlation in cubes, weighted by the contrast of the fixed image.

    A cube counts by ``v^2 / (v^2 + 0.001^2)`` for the fixed variance v in it, which does not depend
    on the moving image: flat cubes say nothing.

    Parameters
    ----------
    fixed : (X, Y, Z) float32 array
        Intensities of the fixed lattice in the contrast of the moving image. In another contrast
        the border between object and background may lie elsewhere, and would pull.
    known : (X, Y, Z) float32 array
        Of the fixed lattice.
    backend : Backend
    """

    def __init__(self, fixed: Any, known: Any, backend: Backend):
        self._backend, self._fixed = backend, fixed
        self._mean = self._box(fixed)
        self._variance = self._covariance(fixed, self._mean, fixed, self._mean)
        self._variance = backend.xp.maximum(self._variance, 0)
        self._weight = known * self._variance**2 / (self._variance**2 + _CONTRAST**2)

    def value(self, moving: Any, known: Any) -> float:
        """See `Measure`."""
        return self._terms(moving, known)[0]

    def derivatives(
        self, moving: Any, known: Any, slopes: list[Any]
    ) -> tuple[float, Any, Any, Curvature]:
        """See `Measure`."""
        box, fixed = self._box, self._fixed
        value, total, weight, mean, covariance, product, varied = self._terms(moving, known)
        squared = covariance**2 / product
        by_covariance = 2 * weight * covariance / product
        by_variance = -weight * squared * self._variance / product * varied
        constant = by_covariance * self._mean + 2 * by_variance * mean
        by_moving = box(by_covariance) * fixed + 2 * box(by_variance) * moving - box(constant)
        by_known = self._weight * (squared - (1 - value)) / -total
        # Of what the motion changes in a cube, that which the mean and the fit of the fixed image
        # take up does not count. Cubes that do not match say little about the curvature, so each
        # counts by its correlation.
        means = [box(s) for s in slopes]
        common = [
            self._covariance(s, m, fixed, self._mean) for s, m in zip(slopes, means, strict=True)
        ]
        inner = 2 / total * weight * squared / product
        outer = inner * self._variance

        def curvature(i: int, j: int) -> Any:
            within = self._covariance(slopes[i], means[i], slopes[j], means[j])
            return outer * within - inner * common[i] * common[j]

        return value, by_moving / -total, by_known, curvature

    def _terms(self, moving: Any, known: Any) -> tuple[float, float, Any, Any, Any, Any, Any]:
        """Value, sum of weights; per cube: weight, moving mean, covariance, variances multiplied,
        whether the moving image is not flat.
        """
        xp = self._backend.xp
        mean = self._box(moving)
        variance = self._covariance(moving, mean, moving, mean)
        covariance = self._covariance(moving, mean, self._fixed, self._mean)
        # No variance of the fixed image, no weight: the smallest only avoids 0 / 0.
        product = xp.maximum(self._variance, 1e-12) * xp.maximum(variance, _FLAT)
        weight = self._weight * known
        total = max(float(weight.sum(dtype=xp.float64)), 1e-9)
        value = 1 - float((weight * covariance**2 / product).sum(dtype=xp.float64)) / total
        return value, total, weight, mean, covariance, product, variance > _FLAT

    def _covariance(self, a: Any, mean_a: Any, b: Any, mean_b: Any) -> Any:
        return self._box(a * b) - mean_a * mean_b

    def _box(self, volume: Any) -> Any:
        return self._backend.kernels.box_filter(self._backend.asarray(volume), _RADIUS)
