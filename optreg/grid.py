"""Where voxels are: the shape of an array and the affine that puts it into the world.

World means RAS+ millimetres (x to the right, y to the front, z to the top of the subject) as in
NIfTI; files with another convention are converted when they are read (`optreg.io`).
Voxel positions count from 0 at the CENTRE of the first voxel, in the order of the array axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product
from operator import index
from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optreg.errors import GeometryError

__all__ = ["SPACES", "Grid"]

# |det| of the unit axis directions: 1 for orthogonal axes, 0 for axes in one plane. Sheared grids
# from affine registration stay far above this; below it world_to_voxel loses float64 digits.
_SMALLEST_VOLUME = 1e-6
# Beyond a kilometre, or below its inverse, a number in an affine is damage, not anatomy; the
# bound also keeps everything computed from an affine far from overflow.
_LARGEST_MM = 1e6
SPACES = range(1, 6)
"""Codes of NIfTI for the world that an affine leads to."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape and position of a voxel array.

    Parameters
    ----------
    shape : tuple of 3 int
        Number of voxels along the array axes (X, Y, Z).
    affine : (4, 4) array_like
        Voxel position to RAS mm, last row ``0 0 0 1``. Kept as a read-only float64 copy.
    space : int
        Which world that is, as NIfTI has it (xform code): 1 that of the scanner, 2 of another image
        of the person, 3 of Talairach, 4 of MNI152, 5 of another template. Nothing but files that
        are written depends on it.

    Raises
    ------
    GeometryError
        Shape not three positive integers; affine not 4x4, not finite, or not invertible; no such
        space.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    space: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _checked_shape(self.shape))
        object.__setattr__(self, "affine", _checked_affine(self.affine))
        if self.space not in SPACES:
            raise GeometryError(f"space {self.space!r} is no xform code of NIfTI; use 1 to 5")

    @classmethod
    def identity(cls, shape: tuple[int, int, int]) -> Grid:
        """Grid of an array that comes without geometry: voxel position = mm."""
        return cls(shape, np.eye(4))

    @property
    def spacing(self) -> NDArray[np.float64]:
        """(3,) distance of neighbouring voxel centres along each array axis, mm."""
        return np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))

    @property
    def directions(self) -> NDArray[np.float64]:
        """(3, 3) unit vectors of the array axes in RAS, one a column."""
        return self.affine[:3, :3] / self.spacing

    @property
    def orientation(self) -> str:
        """Where the array axes point, e.g. ``"RAS"`` or ``"LIP"``: the closest of 48 codes."""
        cosines = self.directions
        # The best overall assignment, not the largest cosine per axis: on an oblique grid two
        # axes may both lean most towards the same world axis.
        best = max(
            permutations(range(3)), key=lambda p: sum(abs(cosines[p[a], a]) for a in range(3))
        )
        return "".join(
            ("LPI", "RAS")[int(cosines[world, axis] > 0)][world] for axis, world in enumerate(best)
        )

    @property
    def bounds_mm(self) -> NDArray[np.float64]:
        """(2, 3) smallest and largest RAS mm of the field of view, outer voxel faces included."""
        faces = [(-0.5, n - 0.5) for n in self.shape]
        corners = self.voxel_to_world(np.array(list(product(*faces))))
        return np.stack([corners.min(axis=0), corners.max(axis=0)])

    @property
    def center_mm(self) -> NDArray[np.float64]:
        """(3,) RAS mm of the middle of the field of view."""
        return self.voxel_to_world((np.array(self.shape) - 1) / 2)

    def overlaps(self, other: Grid) -> bool:
        """Whether the fields of view of two grids have a place in common."""
        here, there = self.bounds_mm, other.bounds_mm
        return bool((np.maximum(here[0], there[0]) < np.minimum(here[1], there[1])).all())

    def voxel_to_world(self, points: ArrayLike) -> NDArray[np.float64]:
        """RAS mm of voxel positions, (..., 3) to (..., 3)."""
        return np.asarray(points, float) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def world_to_voxel(self, points: ArrayLike) -> NDArray[np.float64]:
        """Voxel positions of RAS mm, (..., 3) to (..., 3)."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(points, float) @ inverse[:3, :3].T + inverse[:3, 3]

    def matrix_to(self, other: Grid) -> NDArray[np.float64]:
        """(4, 4) matrix from voxel positions of this grid to those of `other` (same world)."""
        return np.asarray(np.linalg.solve(other.affine, self.affine), np.float64)

    def same_as(self, other: Grid, tolerance: float = 1e-3) -> bool:
        """Whether voxels of both grids coincide.

        Equal shapes, and no corner of the array is further than `tolerance` voxels from where the
        other grid has it. Corners, because an error in a direction that looks small in the matrix
        grows along the axis; voxels, because that is the error of reading one array as the other.
        """
        if self.shape != other.shape:
            return False
        corners = np.array(list(product(*[(0.0, n - 1.0) for n in self.shape])))
        moved = other.world_to_voxel(self.voxel_to_world(corners))
        return bool(np.abs(moved - corners).max() <= tolerance)

    def downsample(self, factor: int | tuple[int, int, int]) -> Grid:
        """Grid of block averages of `factor` voxels an axis.

        A coarse voxel sits in the middle of its block, half a block minus half a voxel inside the
        first fine one. A last block that is not full counts (shape is rounded up).
        """
        factors = np.broadcast_to(np.asarray(factor, int), (3,))
        if (factors < 1).any():
            raise GeometryError(f"down-sampling factor {factor} is not positive; use 1 or more")
        step = np.eye(4)
        step[:3, :3] = np.diag(factors)
        step[:3, 3] = (factors - 1) / 2
        nx, ny, nz = (-(-n // int(f)) for n, f in zip(self.shape, factors, strict=True))
        return replace(self, shape=(nx, ny, nz), affine=self.affine @ step)

    def crop(self, slices: tuple[slice, slice, slice]) -> Grid:
        """Grid of ``data[slices]``; the slices may have a step other than 1, even a negative one.

        Raises
        ------
        GeometryError
            A slice that leaves nothing.
        """
        step = np.eye(4)
        shape = []
        for axis, (part, n) in enumerate(zip(slices, self.shape, strict=True)):
            picked = range(n)[part]
            if not picked:
                raise GeometryError(f"crop {slices} of a grid {self.shape} is empty; widen it")
            step[axis, axis] = picked.step
            step[axis, 3] = picked[0]
            shape.append(len(picked))
        return replace(self, shape=(shape[0], shape[1], shape[2]), affine=self.affine @ step)


def _checked_shape(shape: Sequence[SupportsIndex]) -> tuple[int, int, int]:
    try:
        nx, ny, nz = (index(n) for n in shape)
    except (TypeError, ValueError):
        nx = ny = nz = 0
    if min(nx, ny, nz) < 1:
        raise GeometryError(f"grid shape {shape} is not three positive integers")
    return nx, ny, nz


def _checked_affine(affine: ArrayLike) -> NDArray[np.float64]:
    try:
        matrix = np.array(affine, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise GeometryError(f"affine is not a 4x4 matrix of numbers ({err})") from err
    if matrix.shape != (4, 4):
        raise GeometryError(f"affine has shape {matrix.shape}; a 4x4 matrix is needed")
    if not np.isfinite(matrix).all():
        raise GeometryError("affine holds NaN or infinity; repair the header")
    if np.abs(matrix).max() > _LARGEST_MM:
        raise GeometryError(f"affine reaches {np.abs(matrix).max():.3g} mm; repair the header")
    if not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6):
        raise GeometryError(f"last row of the affine is {matrix[3]}; 0 0 0 1 is needed")
    lengths = np.sqrt((matrix[:3, :3] ** 2).sum(axis=0))
    if (lengths < 1 / _LARGEST_MM).any():
        raise GeometryError("affine has an axis of length zero; repair the header")
    if abs(np.linalg.det(matrix[:3, :3] / lengths)) < _SMALLEST_VOLUME:
        raise GeometryError("affine is singular, its axes lie in one plane; repair the header")
    matrix[3] = 0, 0, 0, 1
    matrix.setflags(write=False)
    return matrix
