"""Images as the linear search sees them: smooth, isotropic, a few ten thousand voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optreg.config import PreprocessConfig
from optreg.errors import InputError
from optreg.grid import Grid
from optreg.image import Image
from optreg.intensities import find_intensities
from optreg.kernels import Backend
from optreg.preprocess import box_around, normalize
from optreg.transform.sampling import affine_displacement, outside

__all__ = ["DARK", "Foreground", "Lattice", "find_foreground", "make_lattice"]

_STEPS = 40
"""Steps along the longest side of the foreground."""
_SMOOTHING = 0.5
"""Standard deviation for a voxel of the lattice, in steps, less that of the image's own."""
_BRIGHTEST = 99.9
"""Percentile of the foreground above which intensities are cut: in smooth images, what outshines
all would outshine what is around it."""
_MARGIN = 2
"""Steps around the foreground, so that background is compared too."""
DARK = 0.1
"""Normalized intensity of what may be noise."""


@dataclass(frozen=True, eq=False)
class Foreground:
    """Where an image is above its background.

    Attributes
    ----------
    data : (X, Y, Z) array
        The image on the device.
    base : float
        Intensity of the background.
    top : float
        Intensity above which few voxels are.
    slices : tuple of slice
        Smallest box that holds everything but the background.
    """

    data: Any
    base: float
    top: float
    slices: tuple[slice, slice, slice]

    def scaled(self, box: tuple[slice, slice, slice], xp: Any) -> Any:
        """Part of the image as float32, from 0 (background) to 1."""
        part = self.data[box]
        # Divided before it becomes float32 where that does not hold all of its values.
        part = part.astype(np.result_type(part.dtype, np.float32))
        xp.minimum(part, self.top, out=part)
        part -= self.base
        part /= self.top - self.base
        return part.astype(xp.float32, copy=False)

    def step_mm(self, grid: Grid) -> float:
        """Lattice step for this image: a part of its size, but no finer than its voxels."""
        sizes = [(s.stop - s.start) * d for s, d in zip(self.slices, grid.spacing, strict=True)]
        return max(max(sizes) / _STEPS, float(grid.spacing.min()))

    def grid(self, grid: Grid, step_mm: float) -> Grid:
        """Isotropic grid around the foreground, of an even number of steps each way.

        It follows the array axes of the image's `grid`.
        """
        middle, shape = [], []
        for part, spacing in zip(self.slices, grid.spacing, strict=True):
            middle.append((part.start + part.stop - 1) / 2)
            steps = int(np.ceil((part.stop - part.start) * spacing / step_mm)) + 2 * _MARGIN
            shape.append(steps + steps % 2)
        affine = np.eye(4)
        affine[:3, :3] = grid.directions * step_mm
        affine[:3, 3] = grid.voxel_to_world(middle) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
        return Grid((shape[0], shape[1], shape[2]), affine)


def find_foreground(image: Image, role: str, backend: Backend) -> Foreground:
    """Foreground of an image, as `optreg.intensities` has it.

    Raises
    ------
    InputError
        There is none.
    """
    data = backend.asarray(image.data)
    base, floor, top = find_intensities(data, _BRIGHTEST, backend.xp, sparse=True)
    mask = data > floor
    if not bool(mask.any()):
        raise InputError(f"{image.name or role}: no foreground to align")
    return Foreground(data, base, top, box_around(mask, backend.xp))


@dataclass(frozen=True, eq=False)
class Lattice:
    """Intensities on an isotropic grid along the array axes of an image.

    Attributes
    ----------
    values : (X, Y, Z) float32 array
        0 (background) to 1.
    known : (X, Y, Z) float32 array
        1 where the image says what is there: inside it, and beyond a border that is background.
    grid : Grid
        Its sizes are even.
    """

    values: Any
    known: Any
    grid: Grid

    def halved(self, backend: Backend) -> Lattice:
        """The same with steps twice as long."""
        k = backend.kernels
        return Lattice(k.downsample(self.values), k.downsample(self.known), self.grid.downsample(2))

    def bright(self) -> Any:
        """(X, Y, Z) bool: well above the background."""
        return self.values > DARK

    def centre_and_radius(self, backend: Backend) -> tuple[NDArray[np.float64], float]:
        """Centre (RAS mm) and root mean square distance from it (mm) of what is bright."""
        mask, centre, square = self.bright(), [], 0.0
        count = max(float(mask.sum()), 1.0)
        for axis, n in enumerate(mask.shape):
            profile = mask.sum(axis=tuple(a for a in range(3) if a != axis))
            share, index = backend.asnumpy(profile) / count, np.arange(n)
            centre.append(float(share @ index))
            square += float(share @ (index - centre[-1]) ** 2) * self.grid.spacing[axis] ** 2
        return self.grid.voxel_to_world(centre), max(square**0.5, float(self.grid.spacing[0]))


def make_lattice(image: Image, seen: Foreground, step_mm: float, backend: Backend) -> Lattice:
    """The image around its foreground on a lattice with this step.

    The lattice follows the array axes and is centred on the foreground, so it does not matter in
    which order or direction the axes are stored.
    """
    xp, spacing = backend.xp, image.grid.spacing
    sigma = _SMOOTHING * np.sqrt(np.maximum((step_mm / spacing) ** 2 - 1, 0))
    # What smoothing reads is cut out with the foreground.
    x, y, z = (
        slice(max(s.start - int(3 * a) - 2, 0), min(s.stop + int(3 * a) + 2, n))
        for s, a, n in zip(seen.slices, sigma, image.shape, strict=True)
    )
    wide = (x, y, z)
    part = xp.ascontiguousarray(seen.scaled(wide, xp))
    part = backend.kernels.gaussian_filter(part, sigma.tolist())
    grid = seen.grid(image.grid, step_mm)
    in_part = affine_displacement(grid.matrix_to(image.grid.crop(wide)), grid.shape)
    values = backend.kernels.warp(part, backend.asarray(in_part))
    values = normalize(values, PreprocessConfig(), xp)
    in_image = affine_displacement(grid.matrix_to(image.grid), grid.shape)
    inside = backend.asarray(~outside(in_image, image.shape))
    return Lattice(values, (inside | (values < DARK)).astype(xp.float32), grid)
