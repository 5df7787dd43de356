"""From images to what the stages take: normalized volumes and weights in one box."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from optreg.affine import resample_foreground
from optreg.config import RegistrationConfig
from optreg.errors import InputError
from optreg.grid import Grid
from optreg.image import Image
from optreg.inputs import Inputs
from optreg.intensities import find_intensities
from optreg.kernels import Backend
from optreg.preprocess import Box, check_overlap, foreground_box, normalize
from optreg.transform import DisplacementField
from optreg.transform.sampling import map_field, outside

__all__ = ["Volumes", "prepare"]

_log = logging.getLogger("optreg")

_CUT = 0.02
"""Part of a face of the field of view that is foreground where it cuts through the object."""

_FILL_VOX = (2.0, 4.0, 8.0)
"""Standard deviations of the means that an unknown voxel takes, nearest first."""
_FILL_SHARE = 0.01
"""Weight of what is known under which a mean is none."""


@dataclass(eq=False)
class Volumes:
    """Both images on the device, in one box of the fixed grid.

    Attributes
    ----------
    fixed, moving : list of (X, Y, Z) float32 array
        Normalized intensities of each channel, background 0.
    regions : pair of (X, Y, Z) float32 array or None
        How much the voxels of either image count, 0..1.
    box : Box
    """

    fixed: list[Any]
    moving: list[Any]
    regions: tuple[Any, Any]
    box: Box

    def warp_moving(self, disp: Any, backend: Backend) -> None:
        """Warp everything of the moving image by (3, X, Y, Z) voxels."""
        fixed_region, region = self.regions
        self.moving = [backend.kernels.warp(v, disp) for v in self.moving]
        if region is not None:
            self.regions = fixed_region, backend.kernels.warp(region, disp)


def prepare(
    inputs: Inputs, start: DisplacementField | None, config: RegistrationConfig, backend: Backend
) -> Volumes:
    """Volumes of all images, the moving ones warped by the start.

    Raises
    ------
    InputError
        A mask or the start leaves nothing to register.
    GeometryError
        The fields of view do not overlap.
    """
    xp, grid = backend.xp, inputs.fixed[0].grid
    if start is None:
        check_overlap(inputs.fixed[0], inputs.moving[0])
    for image in (*inputs.fixed[1:], *inputs.moving):
        if not image.grid.same_as(grid):
            name = image.name or "moving"
            _log.info("%s: %s resampled to the fixed grid %s", name, image.shape, grid.shape)
    known = _seen(inputs.moving[0], grid, start)
    regions = _fixed_region(inputs), _moving_region(inputs, start, known)
    counted = [None if r is None else backend.asarray(r) for r in regions]
    beyond = None if known is None else backend.asarray(~known)
    here = [_onto(image, grid, None, backend) for image in inputs.fixed]
    there = [_onto(image, grid, start, backend) for image in inputs.moving]
    fixed = [_normalized(i, "fixed_mask", counted[0], None, config, backend) for i in here]
    moving = [_normalized(i, "moving_mask", counted[1], beyond, config, backend) for i in there]
    levels = len(config.continuous.iterations)
    # Both are powers of two.
    coarsest, grid_vox = config.continuous.finest * 2 ** (levels - 1), config.discrete.grid_vox
    # Kernels read a voxel and its next one, on the coarsest level too.
    sizes = max(coarsest, grid_vox), 2 * coarsest
    box = foreground_box(_any(fixed, xp), _any(moving, xp), config.preprocess.margin_vox, sizes, xp)
    # Beyond the grid nothing is known; without any weights, zeros are as good and cost nothing.
    cut = tuple(None if r is None else box.crop(r, xp) for r in counted)
    return Volumes(
        [box.crop(v, xp) for v in fixed], [box.crop(v, xp) for v in moving], (cut[0], cut[1]), box
    )


def _mapping(image: Image, grid: Grid, start: DisplacementField | None) -> DisplacementField | None:
    """Field from the fixed grid to an image; None where each voxel is where it should be."""
    if image.grid.same_as(grid) and (start is None or not start.disp.any()):
        return None
    return start or DisplacementField.identity(grid)


def _onto(image: Image, grid: Grid, start: DisplacementField | None, backend: Backend) -> Image:
    """Image on the fixed grid."""
    field = _mapping(image, grid, start)
    if field is None:
        return image
    found = resample_foreground(image, field, backend)
    if not np.any(found.data):
        raise InputError(f"{image.name or 'moving'}: no foreground on the grid of the fixed image")
    return found


def _weight_onto(
    image: Image,
    grid: Grid,
    start: DisplacementField | None,
    interpolation: Literal["linear", "nearest"],
) -> NDArray[np.float32]:
    """Mask or weights on the fixed grid."""
    field = _mapping(image, grid, start)
    found = image if field is None else field.apply(image, interpolation)
    return found.data.astype(np.float32)


def _normalized(
    image: Image,
    role: str,
    region: Any | None,
    beyond: Any | None,
    config: RegistrationConfig,
    backend: Backend,
) -> Any:
    volume = normalize(backend.asarray(image.data), config.preprocess, backend.xp, region)
    if region is None:
        return volume
    if not bool(((volume > 0) & (region > 0)).any()):
        raise InputError(f"{role}: covers no foreground of {image.name or 'the image'}")
    return _filled(volume, region > 0, beyond, backend)


def _filled(volume: Any, known: Any, beyond: Any | None, backend: Backend) -> Any:
    """Volume whose foreground is continued from where it is known to where it is not.

    Nothing is compared there, but gradients and coarser resolutions reach a little into it.
    Background is left as it is, unless it is `beyond` the field of view.
    """
    xp, smooth = backend.xp, backend.kernels.gaussian_filter
    foreground = volume > 0
    share = (foreground & known).astype(xp.float32)
    values = volume * share
    left = foreground & ~known
    volume = xp.where(left, values.sum() / share.sum(), volume)
    if beyond is not None:
        left |= beyond
    for sigma in _FILL_VOX:
        mean, weight = smooth(values, sigma), smooth(share, sigma)
        near = left & (weight > _FILL_SHARE)
        volume = xp.where(near, mean / xp.maximum(weight, _FILL_SHARE), volume)
        left &= ~near
    return volume.astype(xp.float32, copy=False)


def _any(volumes: list[Any], xp: Any) -> Any:
    """Largest value of the channels at each voxel."""
    largest = volumes[0]
    for volume in volumes[1:]:
        largest = xp.maximum(largest, volume)
    return largest


def _fixed_region(inputs: Inputs) -> NDArray[np.float32] | None:
    """How much each voxel of the fixed image counts, as its mask and the weights say."""
    region, grid = None, inputs.fixed[0].grid
    if inputs.fixed_mask is not None:
        region = _weight_onto(inputs.fixed_mask, grid, None, "nearest")
    if inputs.weights is not None:
        weights = _weight_onto(inputs.weights, grid, None, "linear")
        region = weights if region is None else region * weights
    if region is not None and not region.any():
        raise InputError("fixed_mask, weights: nothing of the fixed image counts")
    return region


def _moving_region(
    inputs: Inputs, start: DisplacementField | None, known: NDArray[np.bool_] | None
) -> NDArray[np.float32] | None:
    """Where the moving image counts: in its mask, and where it is known at all."""
    if inputs.moving_mask is None:
        return None if known is None else known.astype(np.float32)
    region = _weight_onto(inputs.moving_mask, inputs.fixed[0].grid, start, "nearest")
    if not region.any():
        raise InputError("moving_mask: nothing of the moving image counts")
    return region if known is None else region * known


def _seen(image: Image, grid: Grid, start: DisplacementField | None) -> NDArray[np.bool_] | None:
    """Voxels of the fixed grid of which an image says what is there; None for all of them.

    A field of view that ends in the middle of the object says nothing about what is beyond; one
    that ends in the background says that there is background.
    """
    field = _mapping(image, grid, start)
    if field is None or not _is_cut(image):
        return None
    known = ~outside(map_field(grid.matrix_to(image.grid), field.disp), image.shape)
    return None if known.all() else known


def _is_cut(image: Image) -> bool:
    """Whether a face of the field of view goes through the foreground."""
    data = np.asarray(image.data)
    floor = find_intensities(data, sparse=True).floor
    faces = [data.take(end, axis) for axis in range(3) for end in (0, -1)]
    return any(float((face > floor).mean()) > _CUT for face in faces)
