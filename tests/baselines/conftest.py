"""The scripts in baselines/ are no package; they find each other beside themselves."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

BASELINES = Path(__file__).resolve().parents[2] / "baselines"
sys.path.insert(0, str(BASELINES))


@pytest.fixture
def dataset_folder(tmp_path, blobs, smooth_disp):
    """Two images in LUMIR layout with labels and landmarks, related by a known field."""
    folder = tmp_path / "data"
    for name in ("imagesVal", "labelsVal", "landmarksVal"):
        (folder / name).mkdir(parents=True)
    moving = ndimage.gaussian_filter(blobs.data, 0.5)
    here = np.indices(moving.shape)
    volumes = {}
    for number, positions in (("1000", here), ("1001", here + smooth_disp)):
        image = ndimage.map_coordinates(moving, positions, order=1, mode="nearest")
        x, _, z = positions
        labels = (image > 0.05) * (1 + (x > 20) + 100 * (z > 22))
        volumes[number] = np.float32(image), np.int16(np.round(labels))
        stem = f"SMALL_{number}_0000"
        for place, data in zip(("imagesVal", "labelsVal"), volumes[number], strict=True):
            nib.save(nib.Nifti1Image(data, blobs.grid.affine), folder / place / f"{stem}.nii.gz")
    # Rows in another order in each table: they belong together by name.
    fixed_points = np.array([[15, 20, 18], [25, 30, 26], [20, 24, 22]], float)
    shift = np.array([ndimage.map_coordinates(c, fixed_points.T, order=1) for c in smooth_disp]).T
    for number, points, order in (
        ("1001", fixed_points, (0, 1, 2)),
        ("1000", fixed_points + shift, (2, 0, 1)),
    ):
        mm = points @ blobs.grid.affine[:3, :3].T + blobs.grid.affine[:3, 3]
        rows = ["label,name,i_vox,j_vox,k_vox,x_mm,y_mm,z_mm"]
        rows += [",".join(map(str, (i + 1, f"P{i}", *points[i], *mm[i]))) for i in order]
        text = "\n".join(rows) + "\n"
        (folder / "landmarksVal" / f"SMALL_{number}_0000.csv").write_text(text)
    pair = {
        "fixed": "./imagesVal/SMALL_1001_0000.nii.gz",
        "moving": "./imagesVal/SMALL_1000_0000.nii.gz",
    }
    for task, methods in (
        ("segmentation", [{"metric": "dice", "labels": [0, 1, 2, 101, 102]}, {"metric": "ndv"}]),
        ("landmarks", [{"metric": "tre"}]),
    ):
        content = {"evaluation_methods": methods, "eval_pairs": [pair]}
        (folder / f"evaluation_{task}.json").write_text(json.dumps(content))
    return folder
