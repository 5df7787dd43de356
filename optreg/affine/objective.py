"""How alike two images are under an affine map, with derivatives by its entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from optreg.affine.lattice import Lattice
from optreg.kernels import Backend

__all__ = ["Curvature", "Measure", "Objective"]

Curvature = Callable[[int, int], Any]
"""Volume for the second derivatives along two axes of the moving lattice."""


class Measure(Protocol):
    """Dissimilarity of a fixed lattice and a moving one that is sampled at its voxels."""

    def value(self, moving: Any, known: Any) -> float:
        """Number that is smallest where the images are alike, and 0 where they are equal."""

    def derivatives(
        self, moving: Any, known: Any, slopes: list[Any]
    ) -> tuple[float, Any, Any, Curvature]:
        """Value, its derivatives by each voxel of `moving` and of `known`, and the curvature.

        The latter leaves out what Gauss-Newton leaves out. `slopes` are the derivatives of
        `moving` along the three axes of its own lattice.
        """


class Objective:
    """A measure as a function of the map from the fixed to the moving world.

    The moving lattice is interpolated linearly, and the derivatives are those of the interpolant.

    Parameters
    ----------
    measure : Measure
        Of the fixed lattice.
    fixed, moving : Lattice
    centre_mm : (3,) ndarray
        RAS mm; a map is a (4, 4) matrix from mm counted from there to RAS mm of the moving image.
    backend : Backend
    """

    def __init__(
        self,
        measure: Measure,
        fixed: Lattice,
        moving: Lattice,
        centre_mm: NDArray[np.float64],
        backend: Backend,
    ):
        xp = backend.xp
        self._measure, self._backend = measure, backend
        self._shape = fixed.grid.shape
        self._volumes = xp.ascontiguousarray(xp.stack([moving.values, moving.known]))
        self._steps = [self._forward_difference(axis) for axis in range(3)]
        self._to_moving = np.linalg.inv(moving.grid.affine)
        self._to_mm = fixed.grid.affine.copy()
        self._to_mm[:3, 3] -= centre_mm
        index = [np.arange(n, dtype=np.float32) for n in self._shape]
        self._index = [xp.asarray(np.expand_dims(i, _others(a))) for a, i in enumerate(index)]
        self._powers = [xp.asarray(np.stack([i**0, i, i**2])) for i in index]

    def value(self, matrix: NDArray[np.float64]) -> float:
        """The measure under a map."""
        return self._measure.value(*self.sample(matrix))

    def sample(self, matrix: NDArray[np.float64]) -> tuple[Any, Any]:
        """Moving intensities, and what is known of them, at the voxels of the fixed lattice."""
        moving, known = self._backend.kernels.warp(self._volumes, self._displacement(matrix))
        return moving, known

    def derivatives(
        self, matrix: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Value, gradient and Gauss-Newton Hessian.

        Returns
        -------
        value : float
        gradient : (3, 4) ndarray
            By the first three rows of D, for the map ``matrix @ (1 + D)``.
        hessian : (3, 4, 3, 4) ndarray
        """
        disp = self._displacement(matrix)
        moving, known = self._backend.kernels.warp(self._volumes, disp)
        slopes, known_slopes = zip(*(self._slope(disp, axis) for axis in range(3)), strict=True)
        value, by_moving, by_known, curvature = self._measure.derivatives(
            moving, known, list(slopes)
        )
        first, second = np.empty((3, 4)), np.empty((3, 4, 3, 4))
        for i in range(3):
            first[i] = self._moments(by_moving * slopes[i] + by_known * known_slopes[i])[3]
            for j in range(i, 3):
                second[i, :, j] = second[j, :, i] = self._moments(curvature(i, j))
        # From voxels of the two lattices to mm of the fixed one.
        linear = (self._to_moving @ matrix)[:3, :3]
        gradient = linear.T @ first @ self._to_mm.T
        hessian = np.einsum(
            "ij,kl,ma,nb,iakb->jmln", linear, linear, self._to_mm, self._to_mm, second
        )
        return value, gradient, hessian

    def _forward_difference(self, axis: int) -> Any:
        """Step from each voxel to the next along an axis, in both volumes; 0 at the end."""
        xp, pad = self._backend.xp, [(0, 0)] * 4
        pad[axis + 1] = (0, 1)
        return xp.ascontiguousarray(xp.pad(xp.diff(self._volumes, axis=axis + 1), pad))

    def _displacement(self, matrix: NDArray[np.float64]) -> Any:
        """Positions in the moving lattice minus those in the fixed one, (3, X, Y, Z)."""
        xp, in_voxels = self._backend.xp, self._to_moving @ matrix @ self._to_mm
        out = xp.empty((3, *self._shape), xp.float32)
        for row in range(3):
            factors = (in_voxels[row, :3] - np.eye(3)[row]).astype(np.float32)
            x, y, z = (float(f) * i for f, i in zip(factors, self._index, strict=True))
            out[row] = x + (y + float(in_voxels[row, 3])) + z
        return out

    def _slope(self, disp: Any, axis: int) -> Any:
        """Exact derivative of the interpolant along an axis of the moving lattice.

        It is constant between two voxels of that axis, so their difference is sampled there.
        """
        xp, last = self._backend.xp, self._volumes.shape[axis + 1] - 1
        at = disp[axis] + self._index[axis]
        cell = disp.copy()
        cell[axis] = xp.clip(xp.floor(at), 0, last - 1) - self._index[axis]
        inside = (at >= 0) & (at <= last)  # outside, the edge is repeated
        return self._backend.kernels.warp(self._steps[axis], cell) * inside

    def _moments(self, volume: Any) -> NDArray[np.float64]:
        """Sums (4, 4) of a volume times the products of two of (x, y, z, 1)."""
        xp = self._backend.xp
        by_x, by_y, by_z = self._powers
        sums = xp.einsum("xyz,kz->xyk", volume, by_z).astype(xp.float64)
        sums = xp.einsum("xyk,jy->xjk", sums, by_y.astype(xp.float64))
        sums = self._backend.asnumpy(xp.einsum("xjk,ix->ijk", sums, by_x.astype(xp.float64)))
        unit = np.eye(4, 3, dtype=int)
        return np.array([[sums[tuple(a + b)] for b in unit] for a in unit])


def _others(axis: int) -> tuple[int, ...]:
    return tuple(a for a in range(3) if a != axis)
