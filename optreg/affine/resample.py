"""The moving image at its start, as sharp as it was and without a seam around the foreground."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optreg.image import Image
from optreg.intensities import find_intensities
from optreg.kernels import Backend
from optreg.preprocess import box_around
from optreg.transform import DisplacementField
from optreg.transform.inverse import affine_part
from optreg.transform.sampling import outside, thickened

__all__ = ["resample_foreground"]

_RIM_VOX = 1.0
"""Standard deviation of the weights that continue the foreground beyond its border."""
_REACH_VOX = 8
"""Voxels around the foreground that a sample in it may depend on."""
_PAD_VOX = 2
"""Voxels of repeated edge, for samples at the border of the image."""
_COARSER = 0.5
"""Standard deviation for a voxel of a coarser grid, in its voxels, less that of the image's own."""
_SAME_STEP = 1.25
"""Change of the step by a field up to which the smoothing stays as the grids alone have it."""


def resample_foreground(image: Image, field: DisplacementField, backend: Backend) -> Image:
    """Cubic interpolation that takes the background for missing, not for dark.

    Mixing the two would draw a rim of in-between values around the foreground, a voxel wide, that
    looks like tissue; and linear interpolation would smooth away what is fine, more of it half-way
    between two voxels than at one. A voxel is foreground where more than half of it is. Where the
    fixed grid is coarser, as the field puts it into the moving image, what it cannot show is
    smoothed away first.

    Parameters
    ----------
    image : Image
        On any grid of the moving world.
    field : DisplacementField
        From the fixed to the moving world.
    backend : Backend

    Returns
    -------
    Image
        float32 on the fixed grid, above the background, which is 0.
    """
    xp, k = backend.xp, backend.kernels
    data = backend.asarray(thickened(image.data))
    base, floor, _ = find_intensities(data, xp=xp, sparse=True)
    # Taken away in float64, for the sake of whole numbers and of backgrounds far from zero.
    above = xp.where(data > floor, data.astype(xp.float64) - base, 0).astype(xp.float32)
    onto = field.fixed_grid.matrix_to(image.grid)
    disp = k.map_field(onto, backend.asarray(field.disp))
    share = k.warp((above > 0).astype(xp.float32), disp)
    share[outside(disp, image.shape, xp)] = 0
    inside = xp.flatnonzero(share > 0.5)
    found = xp.zeros(share.size, xp.float32)
    if len(inside):
        step = _step_vox(onto, field)
        sigma_vox = _COARSER * np.sqrt(np.maximum(step**2 - 1, 0))
        found[inside] = _cubic(above, disp, inside, sigma_vox, backend)
    resampled = backend.asnumpy(found.reshape(*share.shape))
    return Image(resampled, field.fixed_grid, image.name)


def _step_vox(onto: NDArray[np.float64], field: DisplacementField) -> NDArray[np.float64]:
    """Step of the fixed grid, as `field` maps it, along the axes of the moving one, in its voxels.

    The grids alone (`onto`) say it unless the linear part of the field scales, or turns long
    voxels to another axis. Lengths of rows do not change where cubes are turned.
    """
    step = np.abs(onto[:3, :3]).max(axis=1)
    if not field.disp.any():
        return np.asarray(step)
    grid = field.fixed_grid
    in_voxels = np.linalg.solve(grid.affine, affine_part(field).matrix @ grid.affine)
    before, after = (np.linalg.norm(m[:3, :3], axis=1) for m in (onto, onto @ in_voxels))
    change = after / before
    same = (change < _SAME_STEP) & (change > 1 / _SAME_STEP)
    return np.asarray(np.where(same, step, step * change))


def _cubic(above: Any, disp: Any, inside: Any, sigma_vox: Any, backend: Backend) -> Any:
    """Foreground of a volume at displaced voxels, with the extremes of the volume as bounds."""
    xp, k = backend.xp, backend.kernels
    box = tuple(
        slice(max(s.start - _REACH_VOX, 0), s.stop + _REACH_VOX) for s in box_around(above > 0, xp)
    )
    part = xp.ascontiguousarray(above[box])
    mask = part > 0
    total, share = (k.gaussian_filter(v, _RIM_VOX) for v in (part, mask.astype(xp.float32)))
    part = xp.where(mask, part, total / xp.maximum(share, 1e-4))
    if sigma_vox.max() > 0.1:
        part = k.gaussian_filter(part, sigma_vox.tolist())
    low, high = xp.where(mask, part, part.max()).min(), part.max()
    part = xp.pad(part, _PAD_VOX, mode="edge")
    for axis, s in enumerate(box):
        disp[axis] += _PAD_VOX - s.start  # now from the fixed grid to the part
    return xp.clip(k.cubic_at(part, k.spline_coefficients(part), disp, inside), low, high)
