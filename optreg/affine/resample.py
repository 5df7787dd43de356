"""The moving image at its start, without a seam around the foreground."""

from __future__ import annotations

import numpy as np

from optreg.image import Image
from optreg.transform import DisplacementField

__all__ = ["resample_foreground"]


def resample_foreground(image: Image, field: DisplacementField) -> Image:
    """Linear interpolation that takes the background for missing, not for dark.

    Mixing the two would draw a rim of in-between values around the foreground, a voxel wide, that
    looks like tissue. A voxel is foreground where more than half of it is, and the mean of what is
    foreground there.

    Parameters
    ----------
    image : Image
        On any grid of the moving world; its background is 0, or the smallest value where there are
        negative ones.
    field : DisplacementField
        From the fixed to the moving world.

    Returns
    -------
    Image
        float32 on the fixed grid, above the background, which is 0.
    """
    base = min(float(image.data.min()), 0.0)
    above = np.subtract(image.data, base, dtype=np.float64 if base else None)
    total = field.apply(Image(above, image.grid), "linear").data
    share = field.apply(Image((above > 0).astype(np.float32), image.grid), "linear").data
    inside = share > 0.5
    data = np.divide(total, share, out=np.zeros_like(total), where=inside)
    return Image(data, field.fixed_grid, image.name)
