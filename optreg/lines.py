"""Lines drawn over slices: outlines of images and labels, the deformed grid.

They are traced by contourpy, which comes with matplotlib, and are free of any drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from optreg.views import Plane, Views

__all__ = ["GRID_STEP_MM", "Lines", "grid_lines", "isolines", "outlines"]

GRID_STEP_MM = 8.0
"""Distance of the lines of the deformed grid in the moving image."""

Lines = list[NDArray[np.float64]]
"""Polylines, each (N, 2): voxel positions (across, upward) in a slice."""


def isolines(values: NDArray[Any], levels: Sequence[float]) -> Lines:
    """Lines of constant value in a slice given as (across, upward); positions in voxels."""
    from contourpy import contour_generator

    generator = contour_generator(z=np.asarray(values, float).T)
    return [np.asarray(line, float) for level in levels for line in generator.lines(level)]


def grid_lines(views: Views, plane: Plane, index: int, step_mm: float = GRID_STEP_MM) -> Lines:
    """Deformed grid: a regular grid of the moving image, carried along with it onto the fixed one.

    Its lines are where a coordinate in the moving image has a multiple of `step_mm`; they show
    what the warp does to the image that is looked at, motion through the plane included.
    """
    lines: Lines = []
    for axis in (plane.across, plane.upward):
        where = np.take(views.positions[axis], index, axis=plane.axis) * views.spacing[axis]
        first, last = np.ceil(where.min() / step_mm), np.floor(where.max() / step_mm)
        lines += isolines(where, [float(k) * step_mm for k in np.arange(first, last + 1)])
    return lines


def outlines(
    views: Views, plane: Plane, index: int, source: str = "fixed", levels: Sequence[float] = ()
) -> Lines:
    """Outlines of labels ("fixed" or "warped"), else of the fixed image's intensities at `levels`.

    Masks are smoothed by less than a voxel, so that the line runs through the voxel stairs.
    """
    if source not in views.labels:
        picture = np.take(views.fixed, index, axis=plane.axis)
        return isolines(ndimage.gaussian_filter(picture, 0.8), levels) if levels else []
    labels = np.take(views.labels[source], index, axis=plane.axis)
    values, compact = np.unique(labels, return_inverse=True)
    compact = compact.reshape(labels.shape)
    lines: Lines = []
    for number, box in enumerate(ndimage.find_objects(compact + 1)):
        if values[number] == 0 or box is None:
            continue
        wide = tuple(slice(max(b.start - 2, 0), b.stop + 2) for b in box)
        mask = ndimage.gaussian_filter((compact[wide] == number).astype(float), 0.6)
        corner = np.array([part.start for part in wide])
        lines += [line + corner for line in isolines(mask, [0.5])]
    return lines
