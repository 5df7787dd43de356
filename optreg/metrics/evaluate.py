"""All metrics of one registration in one call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from optreg.errors import GeometryError, InputError
from optreg.image import Image, as_label_map
from optreg.kernels.cpu.labels import warp_labels
from optreg.metrics import consistency, folding, landmarks, overlap, surface
from optreg.metrics._validate import as_field, as_mask, as_spacing, same_shape
from optreg.transform import DisplacementField

_TOLERANCE = 1e-2
"""Voxels by which label maps may seem to be beside their image: headers are rounded."""


def evaluate(
    disp: Any,
    *,
    fixed_labels: np.ndarray | Image | None = None,
    moving_labels: np.ndarray | Image | None = None,
    labels: Sequence[int] | None = None,
    fixed_mask: np.ndarray | None = None,
    inverse: np.ndarray | DisplacementField | None = None,
    fixed_landmarks: np.ndarray | None = None,
    moving_landmarks: np.ndarray | None = None,
    spacing: Sequence[float] | None = None,
    hd95: bool = True,
) -> dict[str, dict[str, Any]]:
    """Judge a displacement field by whatever is at hand: labels, landmarks, its inverse, itself.

    On a field as exported, the numbers equal those of the LUMIR evaluator for the same field.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z), Registration, DisplacementField or path
        Displacement in voxels on the fixed grid, ``warped(x) = moving(x + disp(x))``, or the file
        of a field.
    fixed_labels, moving_labels : Image or ndarray (X, Y, Z), optional
        Label maps of both images; give both or none. Arrays are on the grids of the images, which
        are one where `disp` is an array. An Image of moving labels may be on any grid of the
        moving world. Where `disp` is an array, it leads to its voxels, wherever they are.
    labels : sequence of int, optional
        Labels to judge; all that occur in either map if absent, background 0 included.
    fixed_mask : ndarray (X, Y, Z), optional
        Where folding, roughness and inverse consistency are measured (> 0); all if absent.
        The evaluator uses the fixed image itself.
    inverse : ndarray (3, X, Y, Z) or DisplacementField, optional
        The inverse: an array in voxels of the fixed grid, on which it is; a field is on any grid.
    fixed_landmarks, moving_landmarks : ndarray (N, 3) or (X, Y, Z), optional
        Corresponding points in voxels, or label maps with one number per landmark; both or none.
    spacing : sequence of 3 floats, optional
        Voxel size in mm; without, that of the fixed image, or 1 mm where `disp` is an array.
    hd95 : bool
        Whether to compute HD95, the slowest of the metrics, when there are labels.

    Returns
    -------
    dict of dict
        Plain numbers, only the groups for which there was input:

        ``folding``: ``ndv_percent``, ``negative_volume_vox``, ``folded_voxels`` (any of the ten
        determinants <= 0), ``folded_tetrahedra`` (how many), ``folded_central_voxels``,
        ``mask_voxels``.
        ``smoothness``: ``sdlogj``, ``sdlogj_evaluator`` (its own formula; None for a grid under
        five voxels).
        ``dice``: ``mean``, ``mean_without_background``, ``per_label`` (NaN: missing in one image),
        ``skipped`` (those labels).
        ``hd95``: ``mean_mm``, ``mean_without_background_mm``, ``per_label_mm``, ``skipped``,
        ``vanished`` (labels that the field removed; infinite).
        ``tre``: ``mean_mm``, ``per_landmark_mm``, ``vanished``, ``missing``.
        ``inverse_consistency``: ``mean_vox``, ``p99_vox``, ``outside_voxels``.

    Raises
    ------
    InputError
        For anything that cannot be used, and for one half of a pair of inputs.
    GeometryError
        Fixed labels that are not where the fixed image is.
    """
    if isinstance(disp, (str, os.PathLike)):
        from optreg.io import read_field

        disp = read_field(disp)
    field, transform = as_field(disp), _transform(disp)
    if spacing is None:
        spacing = (1.0, 1.0, 1.0) if transform is None else tuple(transform.fixed_grid.spacing)
    spacing_mm = as_spacing(spacing)
    _both_or_none(fixed_labels, moving_labels, "labels")
    _both_or_none(fixed_landmarks, moving_landmarks, "landmarks")
    if labels is not None and fixed_labels is None:
        raise InputError("a list of labels needs fixed_labels and moving_labels")
    mask = as_mask(fixed_mask, field.shape[1:], "fixed mask")
    result = _regularity(field, mask)
    if fixed_labels is not None:
        maps = _label_maps(fixed_labels, moving_labels, field, transform)
        result |= _overlap(maps, labels, spacing_mm, hd95)
    if fixed_landmarks is not None:
        result["tre"] = _landmarks(field, fixed_landmarks, moving_landmarks, spacing_mm)
    if inverse is not None:
        if isinstance(inverse, DisplacementField) and transform is not None:
            # It is on the grid of the moving image, and compared on that of the fixed one.
            grid = transform.fixed_grid
            inverse = inverse if inverse.fixed_grid.same_as(grid) else inverse.resample_to(grid)
        backward: Any = getattr(inverse, "disp", inverse)
        result["inverse_consistency"] = consistency.inverse_consistency(
            field, backward, mask
        )._asdict()
    return result


def _both_or_none(fixed: Any, moving: Any, what: str) -> None:
    if (fixed is None) != (moving is None):
        given, needed = ("moving", "fixed") if fixed is None else ("fixed", "moving")
        raise InputError(f"{given}_{what} are given without {needed}_{what}; both are needed")


def _regularity(field: np.ndarray, mask: np.ndarray | None) -> dict[str, dict[str, Any]]:
    sums = folding.count_folds(field, mask)
    large_enough = min(field.shape[1:]) >= 5
    return {
        "folding": {
            "ndv_percent": 100.0 * sums.negative_volume / sums.mask_voxels,
            "negative_volume_vox": sums.negative_volume,
            "folded_voxels": sums.folded_voxels,
            "folded_tetrahedra": sums.folded_tetrahedra,
            "folded_central_voxels": sums.folded_central,
            "mask_voxels": sums.mask_voxels,
        },
        "smoothness": {
            "sdlogj": folding.sdlogj(field, mask),
            "sdlogj_evaluator": folding.sdlogj_evaluator(field) if large_enough else None,
        },
    }


def _transform(disp: Any) -> DisplacementField | None:
    """Where both images are, of what knows that."""
    transform = getattr(disp, "transform", disp)
    return transform if isinstance(transform, DisplacementField) else None


def _label_maps(
    fixed_labels: Any,
    moving_labels: Any,
    field: np.ndarray,
    transform: DisplacementField | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both label maps, and the moving one warped: sampled once, where it is."""
    shape, of = field.shape[1:], "displacement field"
    if transform is None and isinstance(moving_labels, Image):
        shape = moving_labels.shape
    elif transform is not None:
        grid = transform.source_grid
        if isinstance(moving_labels, Image) and not moving_labels.grid.same_as(grid, _TOLERANCE):
            grid = moving_labels.grid
        field, shape, of = transform.voxels_of(grid), grid.shape, "image that the field leads to"
        where = transform.fixed_grid
        if isinstance(fixed_labels, Image) and not fixed_labels.grid.same_as(where, _TOLERANCE):
            raise GeometryError(f"{fixed_labels.name or 'fixed labels'}: not on the fixed grid")
    fixed, moving = (
        as_label_map(labels.data if isinstance(labels, Image) else labels, name)
        for labels, name in ((fixed_labels, "fixed labels"), (moving_labels, "moving labels"))
    )
    same_shape(fixed, "fixed labels", field.shape[1:], "displacement field")
    same_shape(moving, "moving labels", shape, of)
    return fixed, moving, warp_labels(moving, field)


def _overlap(maps, labels, spacing_mm, with_hd95):
    fixed, moving, warped = maps
    scores = overlap.dice(fixed, warped, labels=labels, moving_labels=moving)
    skipped = [label for label, value in scores.items() if np.isnan(value)]
    result: dict[str, dict[str, Any]] = {
        "dice": {
            "mean": overlap.mean_over_labels(scores),
            "mean_without_background": overlap.mean_over_labels(scores, background=False),
            "per_label": scores,
            "skipped": skipped,
        }
    }
    if with_hd95:
        distances = surface.hd95(
            fixed, warped, labels=labels, moving_labels=moving, spacing=spacing_mm
        )
        result["hd95"] = {
            "mean_mm": overlap.mean_over_labels(distances),
            "mean_without_background_mm": overlap.mean_over_labels(distances, background=False),
            "per_label_mm": distances,
            "skipped": skipped,
            "vanished": [label for label, value in distances.items() if np.isinf(value)],
        }
    return result


def _landmarks(field, fixed_landmarks, moving_landmarks, spacing_mm) -> dict[str, Any]:
    dimensions = {np.ndim(fixed_landmarks), np.ndim(moving_landmarks)}
    if dimensions not in ({2}, {3}):
        raise InputError(
            "fixed and moving landmarks must both be points (N, 3) or both label maps (X, Y, Z)"
        )
    measure = landmarks.tre_labels if dimensions == {3} else landmarks.tre_points
    errors = measure(field, fixed_landmarks, moving_landmarks, spacing=spacing_mm)
    return {
        "mean_mm": errors.mean_mm,
        "per_landmark_mm": errors.per_landmark_mm,
        "vanished": list(errors.vanished),
        "missing": list(errors.missing),
    }
