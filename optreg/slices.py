"""Images of a single slice: registered as volumes that repeat it, in its plane only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optreg.config import RegistrationConfig
from optreg.errors import GeometryError
from optreg.grid import Grid
from optreg.image import Image
from optreg.inputs import Inputs
from optreg.result import Registration
from optreg.transform import DisplacementField

__all__ = ["is_slice", "slice_of", "volumes_of"]

_ALONE = 2
"""More copies of a moving slice at either side: its volume must hold that of the fixed one."""
_PARALLEL = 0.999
"""Cosine of the angle between two planes that count as parallel."""


def is_slice(inputs: Inputs) -> bool:
    """Whether the images are single slices.

    Raises
    ------
    GeometryError
        One is and the other is not, or they lie in different planes.
    """
    thin = [[min(image.shape) == 1 for image in side] for side in (inputs.fixed, inputs.moving)]
    if not any(thin[0] + thin[1]):
        return False
    names = inputs.fixed[0].name or "fixed", inputs.moving[0].name or "moving"
    if not all(thin[0] + thin[1]):
        raise GeometryError(
            f"{names[0]} and {names[1]}: a single slice cannot be registered to a volume; take the "
            "slice that belongs to it"
        )
    fixed, moving = (images[0].grid for images in (inputs.fixed, inputs.moving))
    first, second = _normal(fixed), _normal(moving)
    middles = [g.voxel_to_world((np.array(g.shape) - 1) / 2) for g in (fixed, moving)]
    apart_mm = float((middles[1] - middles[0]) @ first)
    if abs(first @ second) < _PARALLEL or abs(apart_mm) > 0.5 * _thickness_mm(fixed, moving):
        raise GeometryError(
            f"{names[0]} and {names[1]}: slices lie in different planes ({apart_mm:.1f} mm apart)"
        )
    return True


def volumes_of(inputs: Inputs, config: RegistrationConfig) -> Inputs:
    """The same as volumes in which every slice is the image, to be deformed in their plane."""
    axis = inputs.fixed[0].shape.index(1)
    # Two voxels at the coarsest level: kernels read a voxel and its next one.
    count = 2 * max(
        config.continuous.finest * 2 ** (len(config.continuous.iterations) - 1),
        config.discrete.grid_vox,
    )
    start, step_mm = inputs.start, float(np.median(inputs.fixed[0].grid.spacing))

    def fixed(image: Image) -> Image:
        return _repeated(image, count, step_mm)

    def moving(image: Image) -> Image:
        return _repeated(image, count + 2 * _ALONE, step_mm)

    channels = tuple(fixed(image) for image in inputs.fixed)
    if start is not None:
        disp = np.repeat(start.disp, count, axis=1 + axis)
        start = DisplacementField(disp, channels[0].grid)
    mask, moving_mask, weights = inputs.fixed_mask, inputs.moving_mask, inputs.weights
    if mask is None:
        # With weights, windows that reach beyond the first and the last slice know of nothing
        # there; without, they would see background.
        mask = Image(np.ones(channels[0].shape, np.uint8), channels[0].grid, "slice")
    return replace(
        inputs,
        fixed=channels,
        moving=tuple(moving(image) for image in inputs.moving),
        start=start,
        fixed_mask=fixed(mask),
        moving_mask=moving_mask and moving(moving_mask),
        weights=weights and fixed(weights),
        still_axes=tuple(sorted({*inputs.still_axes, axis})),
    )


def slice_of(result: Registration, inputs: Inputs) -> Registration:
    """Result for the images themselves of the result for their volumes."""
    axis = inputs.fixed[0].shape.index(1)
    middle = [result.disp.shape[1 + axis] // 2]
    disp, inverse = (f.take(middle, axis=1 + axis) for f in (result.disp, result.inverse))
    return replace(
        result, disp=disp, inverse=inverse, fixed=inputs.fixed[0], moving=inputs.moving[0]
    )


def _repeated(image: Image, count: int, step_mm: float) -> Image:
    """Volume of `count` copies of a slice, which stays where it is in the middle of them."""
    if min(image.shape) > 1:
        return image
    axis = image.shape.index(1)
    shape = [count if a == axis else n for a, n in enumerate(image.shape)]
    affine = image.grid.affine.copy()
    affine[:3, axis] *= step_mm / image.grid.spacing[axis]
    affine[:3, 3] -= count // 2 * affine[:3, axis]
    data = np.repeat(image.data, count, axis=axis)
    grid = replace(image.grid, shape=(shape[0], shape[1], shape[2]), affine=affine)
    return Image(data, grid, image.name)


def _normal(grid: Grid) -> np.ndarray:
    """Unit vector across the plane of a slice."""
    first, second = (grid.directions[:, a] for a, n in enumerate(grid.shape) if n > 1)
    normal = np.cross(first, second)
    return normal / np.linalg.norm(normal)


def _thickness_mm(*grids: Grid) -> float:
    return float(max(grid.spacing[grid.shape.index(1)] for grid in grids))
