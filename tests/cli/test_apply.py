"""``optreg apply``: images, label maps and points, against the library."""

import os

import numpy as np
import pytest

from optreg.io import load_image, read_landmarks, save_image
from optreg.transform import DisplacementField


@pytest.mark.parametrize("field", ["disp", "disp_itk"])
@pytest.mark.parametrize("named", [True, False])
def test_apply_warps_as_the_library_does(
    field, named, files, blobs, smooth_disp, tmp_path, succeeds
):
    given = {"field": files / f"{field}.nii.gz", "moving": files / "moving.nii.gz"}
    if named:
        given["fixed"] = files / "fixed.nii.gz"
    succeeds("apply", "--quiet", **given, output=tmp_path / "w.nii.gz")
    warped = load_image(tmp_path / "w.nii.gz")
    assert warped.grid.same_as(blobs.grid)
    expected = DisplacementField(smooth_disp, blobs.grid).apply(blobs).data
    np.testing.assert_allclose(warped.data, expected, atol=1e-4)


@pytest.mark.parametrize("interpolation", ["nearest", "label"])
def test_apply_keeps_labels_whole(interpolation, files, tmp_path, succeeds):
    succeeds(
        "apply",
        field=files / "disp.nii.gz",
        moving=files / "moving_seg.nii.gz",
        output=tmp_path / "seg.nii.gz",
        interpolation=interpolation,
    )
    warped, fixed = load_image(tmp_path / "seg.nii.gz").data, load_image(files / "fixed_seg.nii.gz")
    assert warped.dtype == np.int16 and set(np.unique(warped)) <= {0, 1, 2, 3}
    assert (warped == fixed.data).mean() > 0.97


def test_apply_moves_points_in_voxels_and_mm(files, blobs, smooth_disp, tmp_path, succeeds):
    vox = np.array([[20, 24, 22], [12, 30, 25]])
    (tmp_path / "p.csv").write_text(
        "name,i_vox,j_vox,k_vox\nA,20,24,22\nB,12,30,25\n", encoding="utf-8"
    )
    printed = succeeds(
        "apply",
        field=files / "disp.nii.gz",
        fixed=files / "fixed.nii.gz",
        points=tmp_path / "p.csv",
        output=tmp_path / "q.csv",
    ).out
    moved = read_landmarks(tmp_path / "q.csv", blobs.grid)
    expected = vox + smooth_disp[:, vox[:, 0], vox[:, 1], vox[:, 2]].T
    assert moved.names == ("A", "B")
    np.testing.assert_allclose(moved.vox, expected, atol=2e-4)
    np.testing.assert_allclose(moved.mm, blobs.grid.voxel_to_world(expected), atol=2e-4)
    assert "2 points" in printed


def test_apply_asks_for_the_geometry_that_is_missing(files, blobs, tmp_path, fails):
    cut = (slice(4, None), slice(None), slice(None))
    save_image(tmp_path / "m.nii.gz", blobs.data[cut], blobs.grid.crop(cut))
    given = {"field": files / "disp.nii.gz", "output": tmp_path / "w.nii.gz"}
    assert "--fixed" in fails(3, "apply", **given, moving=tmp_path / "m.nii.gz")
    (tmp_path / "p.csv").write_text("i_vox,j_vox,k_vox\n1,2,3\n")
    assert "--fixed" in fails(2, "apply", **given, points=tmp_path / "p.csv")
    assert sorted(os.listdir(tmp_path)) == ["m.nii.gz", "p.csv"]


def test_apply_does_not_overwrite(files, tmp_path, fails):
    (tmp_path / "w.nii.gz").write_text("mine")
    given = {"field": files / "disp.nii.gz", "moving": files / "moving.nii.gz"}
    fails(3, "apply", **given, output=tmp_path / "w.nii.gz")
    assert (tmp_path / "w.nii.gz").read_text() == "mine"


def test_apply_picks_a_volume_of_the_moving_image_alone(files, series, tmp_path, succeeds, fails):
    given = {"field": files / "disp.nii.gz", "fixed": series, "output": tmp_path / "w.nii.gz"}
    error = fails(3, "apply", **given, moving=series)
    assert error.endswith("holds 2 volumes; pick one with --volume N (0 the first)\n")
    succeeds("apply", **given, moving=series, volume=1)
    (tmp_path / "p.csv").write_text("i_vox,j_vox,k_vox\n20,24,22\n")
    given["output"] = tmp_path / "q.csv"
    succeeds("apply", **given, moving=series, points=tmp_path / "p.csv")
