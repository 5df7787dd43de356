"""The moving image at its start, as sharp as it was and without a seam around the foreground."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from optreg.image import Image
from optreg.intensities import find_intensities
from optreg.transform import DisplacementField
from optreg.transform.sampling import map_field

__all__ = ["resample_foreground"]

_RIM_VOX = 1.0
"""Standard deviation of the weights that continue the foreground beyond its border."""

_COARSER = 0.5
"""Standard deviation for a voxel of a coarser grid, in its voxels, less that of the image's own."""


def resample_foreground(image: Image, field: DisplacementField) -> Image:
    """Cubic interpolation that takes the background for missing, not for dark.

    Mixing the two would draw a rim of in-between values around the foreground, a voxel wide, that
    looks like tissue; and linear interpolation would smooth away what is fine, more of it half-way
    between two voxels than at one. A voxel is foreground where more than half of it is. Where the
    fixed grid is coarser, what it cannot show is smoothed away first.

    Parameters
    ----------
    image : Image
        On any grid of the moving world.
    field : DisplacementField
        From the fixed to the moving world.

    Returns
    -------
    Image
        float32 on the fixed grid, above the background, which is 0.
    """
    base, floor, _ = find_intensities(image.data)
    above = np.where(image.data > floor, image.data.astype(np.float64) - base, 0.0)
    above = above.astype(np.float32)
    share = field.apply(Image((above > 0).astype(np.float32), image.grid), "linear").data
    inside = np.nonzero(share > 0.5)
    data = np.zeros(share.shape, np.float32)
    if len(inside[0]):
        onto = field.fixed_grid.matrix_to(image.grid)
        disp = map_field(onto, field.disp)
        step = np.abs(onto[:3, :3]).max(axis=1)  # of the fixed grid, in voxels of the moving one
        position = np.stack([i + d[inside] for i, d in zip(inside, disp, strict=True)])
        data[inside] = _cubic(above, position, _COARSER * np.sqrt(np.maximum(step**2 - 1, 0)))
    return Image(data, field.fixed_grid, image.name)


def _cubic(
    above: NDArray[np.float32], position: NDArray[Any], sigma_vox: NDArray[Any]
) -> NDArray[np.float32]:
    """Foreground of a volume at positions (3, N), with the extremes of the volume as bounds."""
    low = np.maximum(np.floor(position.min(axis=1)).astype(int) - 8, 0)
    high = np.ceil(position.max(axis=1)).astype(int) + 9
    part = above[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    mask = part > 0
    total = ndimage.gaussian_filter(part, _RIM_VOX)
    share = ndimage.gaussian_filter(mask.astype(np.float32), _RIM_VOX)
    part = np.where(mask, part, total / np.maximum(share, 1e-4))
    if sigma_vox.max() > 0.1:
        part = ndimage.gaussian_filter(part, sigma_vox, mode="nearest")
    values = ndimage.map_coordinates(part, position - low[:, None], order=3, mode="nearest")
    return np.clip(values, part[mask].min(), part.max())
