"""Images as SimpleITK has them, made without the package."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

FLIP = np.array([-1.0, -1, 1])
"""RAS to LPS and back."""


def itk_image(data, grid):
    """SimpleITK image of a volume (X, Y, Z) on a grid."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(data.transpose(2, 1, 0)))
    image.SetSpacing(grid.spacing.tolist())
    image.SetOrigin((grid.affine[:3, 3] * FLIP).tolist())
    image.SetDirection((grid.directions * FLIP[:, None]).ravel().tolist())
    return image
