"""Dissimilarity that does not ask for the same contrast."""

from __future__ import annotations

from typing import Any

import numpy as np

from optreg.affine.lattice import Lattice
from optreg.affine.objective import Curvature
from optreg.kernels import Backend

__all__ = ["CorrelationRatio"]

_KNOTS = 16
_ROUNDED = 2.0**28
"""Weights are rounded to this part of one: sums of up to 2^25 of them are exact, in any order."""


class CorrelationRatio:
    """Share of the moving variance that no function of the fixed intensity explains.

    The correlation ratio (Roche et al. 1998, doi 10.1007/BFb0056301), with a piecewise linear
    function in place of a mean per bin: so two equal images give exactly 0.

    Parameters
    ----------
    fixed : Lattice
    backend : Backend
    """

    def __init__(self, fixed: Lattice, backend: Backend):
        xp = backend.xp
        self._backend, self._weight = backend, fixed.known
        scaled = fixed.values * xp.float32(_KNOTS - 1)
        self._knot = xp.minimum(scaled.astype(xp.int32), _KNOTS - 2)
        self._share = scaled - self._knot

    def value(self, moving: Any, known: Any) -> float:
        """See `Measure`; from 0 to 1."""
        return self._terms(moving, known)[0]

    def derivatives(
        self, moving: Any, known: Any, slopes: list[Any]
    ) -> tuple[float, Any, Any, Curvature]:
        """See `Measure`."""
        value, total, weight, residual, spread = self._terms(moving, known)
        by_moving = weight * (residual - value * spread) * (2 / total)
        by_known = self._weight * (residual**2 - value * spread**2) / total
        each = weight * (2 / total)
        return value, by_moving, by_known, lambda i, j: each * slopes[i] * slopes[j]

    def in_moving_contrast(self, moving: Any, known: Any) -> Any:
        """(X, Y, Z) the fixed image through the function that explains the moving one best."""
        return self._fitted(moving, self._weight * known).astype(self._backend.xp.float32)

    def _terms(self, moving: Any, known: Any) -> tuple[float, float, Any, Any, Any]:
        """Value, variance (a sum), weights, what the function leaves, what the mean leaves."""
        xp = self._backend.xp
        weight = self._weight * known
        fitted = self._fitted(moving, weight)
        mean = _total(weight * moving, xp) / max(_total(weight, xp), 1e-9)
        residual, spread = moving - fitted, moving - mean
        total = max(_total(weight * spread**2, xp), 1e-9)
        return _total(weight * residual**2, xp) / total, total, weight, residual, spread

    def _fitted(self, moving: Any, weight: Any) -> Any:
        """Least-squares function of the fixed intensity, at every voxel."""
        xp, above = self._backend.xp, self._share
        below = 1 - above
        low, high = weight * below, weight * above
        diagonal, right = self._per_knot(low * below), self._per_knot(low * moving)
        diagonal[1:] += self._per_knot(high * above)[:-1]
        right[1:] += self._per_knot(high * moving)[:-1]
        beside = self._per_knot(high * below)[:-1]
        gram = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        # A knot without voxels has no value; whatever it gets is not used.
        gram += np.eye(_KNOTS) * max(1e-9 * diagonal.sum(), 1e-9)
        at_knots = xp.asarray(np.linalg.solve(gram, right).astype(np.float32))
        return below * at_knots[self._knot] + above * at_knots[self._knot + 1]

    def _per_knot(self, weights: Any) -> Any:
        """Sum of the weights at each knot."""
        xp = self._backend.xp
        rounded = xp.rint(weights.ravel().astype(xp.float64) * _ROUNDED)
        sums = xp.bincount(self._knot.ravel(), rounded, minlength=_KNOTS)
        return self._backend.asnumpy(sums) / _ROUNDED


def _total(volume: Any, xp: Any) -> float:
    return float(volume.sum(dtype=xp.float64))
