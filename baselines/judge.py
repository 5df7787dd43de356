"""Every metric of one displacement field, by the metrics of optreg, whoever made the field."""

from __future__ import annotations

from typing import Any

import numpy as np

from dataset import Pair
from optreg.io import load_image, read_landmarks
from optreg.metrics import evaluate, mean_over_labels, tre_labels, tre_points

# In the numbering of Neuromorphometrics the cortical parcels start here.
_FIRST_CORTICAL_LABEL = 100


def judge(
    pair: Pair, disp: np.ndarray, inverse: np.ndarray | None = None, *, hd95: bool = False
) -> dict[str, Any]:
    """Numbers of one registration; those without input (landmarks, inverse) are absent.

    Parameters
    ----------
    pair : Pair
        What was registered.
    disp, inverse : ndarray (3, X, Y, Z)
        Displacement in voxels of the fixed grid, and that of the inverse.
    hd95 : bool
        Whether to compute HD95, which takes longest.

    Returns
    -------
    dict
        ``ndv_percent``, ``folded_voxels``, ``sdlogj`` (where the fixed image is > 0);
        ``dice`` (background included, as the challenge has it), ``dice_without_background``,
        ``dice_cortex``, ``dice_other``, ``dice_per_label``; ``hd95_mm``; ``tre_mm`` (point by
        point), ``tre_labels_mm`` (by label maps, as the challenge has it);
        ``inverse_mean_vox``, ``inverse_p99_vox``.
    """
    fixed = load_image(pair.fixed)
    arguments: dict[str, Any] = {"fixed_mask": fixed.data > 0, "spacing": fixed.grid.spacing}
    maps = pair.files("labelsVal", ".nii.gz")
    if maps:
        arguments["fixed_labels"], arguments["moving_labels"] = (load_image(p).data for p in maps)
        arguments |= {"labels": pair.labels, "hd95": hd95}
    result = evaluate(disp, inverse=inverse, **arguments)
    numbers: dict[str, Any] = {
        "ndv_percent": result["folding"]["ndv_percent"],
        "folded_voxels": result["folding"]["folded_voxels"],
        "sdlogj": result["smoothness"]["sdlogj"],
    }
    if "dice" in result:
        numbers |= _dice(result["dice"]["per_label"])
    if "hd95" in result:
        # Infinite if the field removed a label; the count says so, and JSON has no infinity.
        numbers["vanished_labels"] = len(result["hd95"]["vanished"])
        if np.isfinite(result["hd95"]["mean_mm"]):
            numbers["hd95_mm"] = result["hd95"]["mean_mm"]
    if inverse is not None:
        numbers["inverse_mean_vox"] = result["inverse_consistency"]["mean_vox"]
        numbers["inverse_p99_vox"] = result["inverse_consistency"]["p99_vox"]
    return numbers | _landmarks(pair, disp, fixed.grid)


def _dice(per_label: dict[int, float]) -> dict[str, Any]:
    groups = {
        "dice": per_label,
        "dice_without_background": {k: v for k, v in per_label.items() if k != 0},
        "dice_cortex": {k: v for k, v in per_label.items() if k >= _FIRST_CORTICAL_LABEL},
        "dice_other": {k: v for k, v in per_label.items() if 0 < k < _FIRST_CORTICAL_LABEL},
    }
    means = {name: mean_over_labels(group) for name, group in groups.items()}
    # As JSON has it: no NaN (a label or group without a value has nothing to say), text as keys.
    numbers: dict[str, Any] = {name: value for name, value in means.items() if np.isfinite(value)}
    numbers["dice_per_label"] = {str(k): v for k, v in per_label.items() if np.isfinite(v)}
    return numbers


def _landmarks(pair: Pair, disp: np.ndarray, grid: Any) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    tables = pair.files("landmarksVal", ".csv")
    if tables:
        fixed, moving = (read_landmarks(path) for path in tables)
        common = [name for name in fixed.names if name in moving.names]
        rows = [[points.names.index(name) for name in common] for points in (fixed, moving)]
        errors = tre_points(disp, fixed.vox[rows[0]], moving.vox[rows[1]], spacing=grid.spacing)
        numbers["tre_mm"] = errors.mean_mm
        numbers["tre_per_landmark_mm"] = {
            name: errors.per_landmark_mm[row] for row, name in enumerate(common)
        }
    maps = pair.files("landmarksVal", ".nii.gz")
    if maps:
        volumes = [load_image(path).data for path in maps]
        by_label = tre_labels(disp, *volumes, spacing=grid.spacing)
        if np.isfinite(by_label.mean_mm):
            numbers["tre_labels_mm"] = by_label.mean_mm
        numbers["vanished_landmarks"] = len(by_label.vanished)
    return numbers
