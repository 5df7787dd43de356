"""Geometry and linear maps between SimpleITK, whose world is LPS mm, and ours, RAS mm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optreg.errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk

__all__ = [
    "LPS",
    "lps_geometry",
    "lps_to_affine",
    "matrix_of",
    "own_transform",
    "scalar_image",
    "vector_image",
]

LPS = np.array([-1.0, -1.0, 1.0])
"""Factor that turns RAS coordinates or vectors into LPS ones, and back."""


def lps_to_affine(spacing: Any, origin: Any, direction: Any) -> NDArray[np.float64]:
    """Voxel to RAS mm affine of ITK's description; axes beyond the third are dropped."""
    n = len(spacing)
    affine = np.eye(4)
    affine[:3, :3] = (np.reshape(direction, (n, n)) * np.asarray(spacing))[:3, :3]
    affine[:3, 3] = origin[:3]
    affine[:3] *= LPS[:, None]
    return affine


def lps_geometry(
    affine: NDArray[np.float64],
) -> tuple[list[float], list[float], list[float]]:
    """Spacing, origin and direction (9 numbers, by row) that ITK wants for a RAS mm affine."""
    lps = affine[:3] * LPS[:, None]
    spacing = np.sqrt((lps[:, :3] ** 2).sum(axis=0))
    return spacing.tolist(), lps[:, 3].tolist(), (lps[:, :3] / spacing).ravel().tolist()


def vector_image(vectors: NDArray[Any], affine: NDArray[np.float64]) -> sitk.Image:
    """SimpleITK image of vectors (3, X, Y, Z) in RAS mm; it keeps their number type."""
    import SimpleITK as sitk

    lps = vectors * LPS.astype(vectors.dtype)[:, None, None, None]
    return _placed(sitk.GetImageFromArray(lps.transpose(3, 2, 1, 0), isVector=True), affine)


def scalar_image(data: NDArray[Any], affine: NDArray[np.float64]) -> sitk.Image:
    """SimpleITK image of a volume (X, Y, Z); it keeps its number type."""
    import SimpleITK as sitk

    return _placed(sitk.GetImageFromArray(data.transpose(2, 1, 0)), affine)


def _placed(image: sitk.Image, affine: NDArray[np.float64]) -> sitk.Image:
    spacing, origin, direction = lps_geometry(affine)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    return image


def own_transform(transform: sitk.Transform) -> sitk.Transform:
    """`transform` as its own class, out of the composites that hold nothing else.

    Raises
    ------
    InputError
        Not a transform of 3-D points.
    """
    import SimpleITK as sitk

    transform = transform.Downcast()
    while isinstance(transform, sitk.CompositeTransform):
        if transform.GetNumberOfTransforms() != 1:
            break
        transform = transform.GetNthTransform(0).Downcast()
    if transform.GetDimension() != 3:
        raise InputError(f"transform of {transform.GetDimension()} dimensions; 3 are needed")
    return transform


def matrix_of(transform: sitk.Transform) -> NDArray[np.float64]:
    """(4, 4) RAS mm matrix of a linear transform, whatever its class and its centre."""
    flip = np.diag([*LPS, 1.0])
    lps = np.eye(4)
    with np.errstate(over="ignore", invalid="ignore"):  # judged by whoever uses the matrix
        origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
        for axis, unit in enumerate(np.eye(3)):
            lps[:3, axis] = np.array(transform.TransformPoint(unit.tolist())) - origin
        lps[:3, 3] = origin
        return np.asarray(flip @ lps @ flip, np.float64)
