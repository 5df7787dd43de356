"""Numbers of one displacement field, by the metrics of optreg, whoever made the field."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from dataset import Pair
from optreg.batch.scoring import Case, score
from optreg.errors import InputError
from optreg.io import load_image, write_field
from optreg.metrics import inverse_consistency, mean_over_labels

# In the numbering of Neuromorphometrics the cortical parcels start here.
_FIRST_CORTICAL_LABEL = 100
# What `score` calls them, and the records of the comparison.
_NAMES = {
    "ndv": "ndv_percent",
    "folded_voxels": "folded_voxels",
    "sdlogj": "sdlogj",
    "hd95": "hd95_mm",
    "tre": "tre_labels_mm",
    "tre_points": "tre_mm",
}


def judge(
    pair: Pair, disp: np.ndarray, inverse: np.ndarray | None = None, *, hd95: bool = False
) -> dict[str, Any]:
    """Numbers of one registration; those without input (landmarks, inverse) are absent.

    The field is written as for a submission and judged as ``optreg evaluate --fields`` does.

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
        ``dice_cortex``, ``dice_other``, ``dice_per_label``; ``hd95_mm``, ``vanished_labels``;
        ``tre_mm`` (point by point), ``tre_labels_mm`` (by label maps, as the challenge has it),
        ``vanished_landmarks``; ``inverse_mean_vox``, ``inverse_p99_vox``.

    Raises
    ------
    InputError
        The field cannot be judged.
    """
    fixed = load_image(pair.images.fixed)
    with tempfile.TemporaryDirectory() as folder:
        write_field(Path(folder) / pair.images.file_name, disp, fixed.grid)
        maps, points = pair.data / "labelsVal", pair.data / "landmarksVal"
        case = Case(pair.images, Path(folder), maps, points, pair.labels, hd95=hd95)
        found = score(case)
    if "error" in found:
        raise InputError(found["error"])
    numbers = {
        name: found[key] for key, name in _NAMES.items() if np.isfinite(found.get(key, np.nan))
    }
    if "per_label" in found:
        numbers |= _dice({label: values[0] for label, values in found["per_label"].items()})
        if hd95:
            # Infinite if the field removed a label: then the mean is, and JSON has no infinity.
            surfaces = [values[1] for values in found["per_label"].values()]
            numbers["vanished_labels"] = int(np.isinf(surfaces).sum())
    if "vanished" in found:
        numbers["vanished_landmarks"] = len(found["vanished"])
    if inverse is not None:
        error = inverse_consistency(disp, inverse, fixed.data > 0)
        numbers |= {"inverse_mean_vox": error.mean_vox, "inverse_p99_vox": error.p99_vox}
    return numbers


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
