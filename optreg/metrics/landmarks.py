"""Target registration error: how far apart corresponding landmarks end up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from optreg.errors import InputError
from optreg.image import as_label_map
from optreg.kernels.cpu.labels import warp_labels
from optreg.metrics._validate import as_field, as_points, as_spacing, same_shape
from optreg.transform.sampling import displacement_at


class LandmarkErrors(NamedTuple):
    """Target registration error of a set of landmarks.

    Attributes
    ----------
    mean_mm : float
        Mean over the landmarks that have an error; NaN if none has.
    per_landmark_mm : dict of int to float
        By label, or by row (from 0) for points. NaN for a landmark that vanished.
    vanished : tuple of int
        Landmarks that the field pushed out of the image or thinned out to nothing.
    missing : tuple of int
        Landmarks present in only one of the two maps; not part of ``per_landmark_mm``.
    """

    mean_mm: float
    per_landmark_mm: dict[int, float]
    vanished: tuple[int, ...]
    missing: tuple[int, ...]


def _centroids(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Centre of mass in voxels of every label but 0."""
    positions = np.argwhere(labels)
    values = labels[tuple(positions.T)]
    counts = np.bincount(values)
    sums = [np.bincount(values, weights=positions[:, axis]) for axis in range(3)]
    return {
        int(label): np.array([total[label] / counts[label] for total in sums])
        for label in np.flatnonzero(counts)
    }


def tre_labels(
    disp: np.ndarray,
    fixed_landmarks: np.ndarray,
    moving_landmarks: np.ndarray,
    *,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
) -> LandmarkErrors:
    """Landmark error from label maps, as the LUMIR evaluator computes it.

    The moving label map (a small blob per landmark) is warped by nearest neighbour, and the
    distance of the centroids to those of the fixed map is measured. Blobs of few voxels can vanish
    when they are warped; such landmarks are listed and not part of the mean.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
        Displacement in voxels.
    fixed_landmarks, moving_landmarks : ndarray (X, Y, Z)
        Label maps, one number per landmark, 0 elsewhere.
    spacing : sequence of 3 floats
        Voxel size in mm.

    Returns
    -------
    LandmarkErrors

    Raises
    ------
    InputError
        For input that cannot be used, or no landmark common to both maps.
    """
    field, spacing_mm = as_field(disp), np.array(as_spacing(spacing))
    fixed = as_label_map(fixed_landmarks, "fixed landmarks")
    moving = as_label_map(moving_landmarks, "moving landmarks")
    same_shape(fixed, "fixed landmarks", field.shape[1:], "displacement field")
    same_shape(moving, "moving landmarks", field.shape[1:], "displacement field")
    before = set(np.unique(moving).tolist()) - {0}
    targets, arrived = _centroids(fixed), _centroids(warp_labels(moving, field))
    common = sorted(before & set(targets))
    if not common:
        raise InputError("fixed and moving landmarks have no label in common")
    errors = {
        label: float(np.linalg.norm((arrived[label] - targets[label]) * spacing_mm))
        if label in arrived
        else float("nan")
        for label in common
    }
    vanished = tuple(label for label in common if label not in arrived)
    return _summary(errors, vanished, tuple(sorted(before ^ set(targets))))


def tre_points(
    disp: np.ndarray,
    fixed_points: np.ndarray,
    moving_points: np.ndarray,
    *,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
) -> LandmarkErrors:
    """Landmark error point by point: where the field sends each fixed landmark.

    The displacement is interpolated linearly at the fixed landmark, without the rounding to whole
    voxels of the label-map version.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
        Displacement in voxels.
    fixed_points, moving_points : ndarray (N, 3)
        Corresponding landmarks in voxels (array axis order, fractions allowed).
    spacing : sequence of 3 floats
        Voxel size in mm.

    Returns
    -------
    LandmarkErrors
        Keyed by row, from 0; nothing can vanish.

    Raises
    ------
    InputError
        For unequal counts, rows that are not finite, or fixed landmarks outside the grid.
    """
    field, spacing_mm = as_field(disp), np.array(as_spacing(spacing))
    fixed = as_points(fixed_points, "fixed landmarks")
    moving = as_points(moving_points, "moving landmarks")
    if len(fixed) != len(moving):
        raise InputError(
            f"there are {len(fixed)} fixed but {len(moving)} moving landmarks; rows must correspond"
        )
    last = np.array(field.shape[1:]) - 1
    outside = np.flatnonzero(((fixed < 0) | (fixed > last)).any(axis=1))
    if outside.size:
        row = int(outside[0])
        raise InputError(
            f"fixed landmarks: row {row} at {fixed[row].tolist()} lies outside the grid "
            f"{field.shape[1:]}; positions are voxels, not mm"
        )
    distance = np.linalg.norm((fixed + displacement_at(field, fixed) - moving) * spacing_mm, axis=1)
    return _summary({row: float(value) for row, value in enumerate(distance)}, (), ())


def _summary(errors: dict[int, float], vanished, missing) -> LandmarkErrors:
    present = [value for value in errors.values() if not np.isnan(value)]
    mean = float(np.mean(present)) if present else float("nan")
    return LandmarkErrors(mean, errors, vanished, missing)
