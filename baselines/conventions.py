"""Displacement fields of the ITK world (greedy, ANTs, elastix, SimpleITK) in the convention of the
challenge.

Only NumPy is needed here, because this runs in the environment of the other method.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def itk_to_voxels(vectors: np.ndarray, direction: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Displacement in voxels of the fixed grid from an ITK displacement field.

    ITK keeps, for every fixed voxel, a displacement in mm of its physical space (LPS). A voxel step
    along array axis a moves ``spacing[a] * direction[:, a]`` there, so solving for steps gives
    voxels whatever the orientation. The origin plays no part: both ends of the vector have it.

    Parameters
    ----------
    vectors : ndarray (X, Y, Z, 3)
        Displacements in LPS mm, array axes in the order of the NIfTI file.
    direction : ndarray (3, 3)
        ITK direction cosines of the fixed image, one column per array axis.
    spacing : ndarray (3,)
        Voxel size of the fixed image in mm.

    Returns
    -------
    ndarray (3, X, Y, Z), float32
        ``warped(x) = moving(x + disp(x))`` for a moving image on the grid of the fixed one.

    Raises
    ------
    ValueError
        For vectors of another shape, or that are not finite.
    """
    step = np.reshape(direction, (3, 3)) * np.asarray(spacing, float)
    return mm_to_voxels(vectors, step)


def mm_to_voxels(vectors: np.ndarray, step: np.ndarray) -> np.ndarray:
    """As `itk_to_voxels`, for any physical space.

    Parameters
    ----------
    vectors : ndarray (X, Y, Z, 3)
        Displacements in mm.
    step : ndarray (3, 3)
        What a voxel step along each array axis moves in mm, one column per axis.

    Raises
    ------
    ValueError
        For vectors of another shape, or that are not finite.
    """
    vectors = np.asarray(vectors)
    if vectors.ndim != 4 or vectors.shape[-1] != 3:
        raise ValueError(f"vectors have shape {vectors.shape}; (X, Y, Z, 3) is needed")
    if not np.isfinite(vectors).all():
        raise ValueError("the displacement field holds NaN or infinite values")
    disp = np.einsum("ab,xyzb->axyz", np.linalg.inv(step), vectors, optimize=True)
    return np.ascontiguousarray(disp, np.float32)


def sitk_to_voxels(field: Any) -> np.ndarray:
    """Displacement in voxels from a vector image of SimpleITK on the fixed grid."""
    import SimpleITK as sitk

    vectors = np.transpose(sitk.GetArrayViewFromImage(field), (2, 1, 0, 3))
    return itk_to_voxels(vectors, np.array(field.GetDirection()), np.array(field.GetSpacing()))
