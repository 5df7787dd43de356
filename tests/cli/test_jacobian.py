"""``optreg jacobian``: the map and the volumes, against analytic maps and SimpleITK."""

import csv
import os

import numpy as np
import pytest
import SimpleITK as sitk

from optreg.grid import Grid
from optreg.io import load_image, read_field, save_image, write_field
from optreg.io.fields import write_transform
from optreg.transform import Affine, DisplacementField


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return {int(row["label"]): row for row in csv.DictReader(file)}


@pytest.fixture
def scaled(tmp_path):
    """A ball on a grid of 1 x 2 x 1.5 mm, and the map that makes everything 1.2 times larger."""
    grid = Grid((44, 24, 30), np.array([[-1.0, 0, 0, 22], [0, 2, 0, -24], [0, 0, 1.5, -22.5],
                                        [0, 0, 0, 1]]))  # fmt: skip
    where = grid.voxel_to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    ball = (np.sqrt((where**2).sum(axis=-1)) < 12).astype(np.uint8) * 7
    save_image(tmp_path / "fixed.nii.gz", ball, grid)
    affine = Affine(np.diag([1.2, 1.2, 1.2, 1]))
    write_transform(tmp_path / "a.tfm", affine, format="itk")
    return tmp_path, grid


def test_volume_of_a_ball_that_grows(scaled, succeeds):
    folder, grid = scaled
    said = succeeds(
        "jacobian", field=folder / "a.tfm", fixed=folder / "fixed.nii.gz",
        labels=folder / "fixed.nii.gz", table=folder / "v.csv", output=folder / "j.nii.gz",
    ).out  # fmt: skip
    image = load_image(folder / "j.nii.gz")
    assert image.grid.same_as(grid) and image.data.dtype == np.float32
    np.testing.assert_allclose(image.data, 3 * np.log(1.2), atol=1e-4)
    row = table(folder / "v.csv")[7]
    assert set(table(folder / "v.csv")) == {7}
    # 4/3 pi r^3 of radii 12 and 14.4 mm, up to what voxels of 3 mm^3 can show.
    assert float(row["fixed_mm3"]) == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.04)
    assert float(row["moving_mm3"]) == pytest.approx(4 / 3 * np.pi * 14.4**3, rel=0.04)
    assert float(row["change_percent"]) == pytest.approx(72.8, abs=0.01)
    assert float(row["mean_log"]) == pytest.approx(3 * np.log(1.2), abs=1e-4)
    assert row["folded"] == "0" and float(row["voxels"]) * 3 == float(row["fixed_mm3"])
    assert "0 voxels folded" in said and "change_percent" in said


def test_volumes_are_those_of_the_labels_in_the_moving_image(files, blobs, tmp_path, succeeds):
    given = {"field": files / "disp.nii.gz", "fixed": files / "fixed.nii.gz"}
    succeeds("jacobian", **given, labels=files / "fixed_seg.nii.gz", table=tmp_path / "v.csv",
             output=tmp_path / "j.nii.gz")  # fmt: skip
    counted = np.bincount(load_image(files / "moving_seg.nii.gz").data.ravel())
    found = table(tmp_path / "v.csv")
    for label in (1, 2, 3):
        # The fixed labels are the moving ones warped by this field.
        assert float(found[label]["moving_mm3"]) == pytest.approx(counted[label], rel=0.02)
    changes = [abs(float(found[label]["change_percent"])) for label in (1, 2, 3)]
    assert max(changes) > 3


def test_map_equals_that_of_itk(files, tmp_path, succeeds, smooth_disp):
    # ITK differentiates along the array axes, which is right for directions of LPS alone.
    grid = Grid(smooth_disp.shape[1:], np.diag([-1.0, -2.0, 1.5, 1]))
    field = DisplacementField(smooth_disp, grid)
    write_field(tmp_path / "f.nii.gz", smooth_disp, grid, format="itk")
    save_image(tmp_path / "fixed.nii.gz", np.ones(grid.shape, np.uint8), grid)
    succeeds("jacobian", field=tmp_path / "f.nii.gz", fixed=tmp_path / "fixed.nii.gz",
             output=tmp_path / "j.nii.gz")  # fmt: skip
    expected = sitk.DisplacementFieldJacobianDeterminant(field.to_sitk().GetDisplacementField())
    expected = np.log(sitk.GetArrayFromImage(expected).transpose(2, 1, 0))
    inner = (slice(2, -2),) * 3
    found = load_image(tmp_path / "j.nii.gz").data
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-3)


def test_folds_are_counted_and_said(files, blobs, smooth_disp, tmp_path, succeeds):
    write_field(tmp_path / "f.nii.gz", smooth_disp * 12, blobs.grid)
    folded = int((DisplacementField(smooth_disp * 12, blobs.grid).jacobian() <= 0).sum())
    assert folded > 100
    said = succeeds(
        "jacobian", field=tmp_path / "f.nii.gz", fixed=files / "fixed.nii.gz",
        labels=files / "fixed_seg.nii.gz", table=tmp_path / "v.csv", output=tmp_path / "j.nii.gz",
    )  # fmt: skip
    assert f"{folded} voxels are folded" in said.err and f"{folded} voxels folded" in said.out
    found = load_image(tmp_path / "j.nii.gz").data
    assert np.isclose(found, np.log(1e-9)).sum() == folded
    inside = load_image(files / "fixed_seg.nii.gz").data > 0
    in_labels = sum(int(row["folded"]) for row in table(tmp_path / "v.csv").values())
    assert in_labels == np.isclose(found[inside], np.log(1e-9)).sum()


def test_field_on_another_grid_is_judged_on_that_of_the_fixed_image(
    files, blobs, smooth_disp, tmp_path, succeeds
):
    coarse = blobs.grid.downsample(2)
    save_image(tmp_path / "fixed.nii.gz", np.ones(coarse.shape, np.uint8), coarse)
    succeeds("jacobian", field=files / "disp_itk.nii.gz", fixed=tmp_path / "fixed.nii.gz",
             output=tmp_path / "j.nii.gz")  # fmt: skip
    expected = read_field(files / "disp_itk.nii.gz", coarse).jacobian()
    found = load_image(tmp_path / "j.nii.gz")
    assert found.grid.same_as(coarse)
    np.testing.assert_allclose(found.data, np.log(expected), atol=1e-5)


@pytest.mark.parametrize(
    ("code", "more", "what"),
    [
        (2, {"table": "v.csv"}, "name their image with --labels"),
        (2, {"labels": "seg.nii.gz", "table": "./j.nii.gz"}, "is both --output and --table"),
        (3, {"field": "missing.nii"}, "no such file"),
        (3, {"labels": "missing.nii"}, "no such file"),
        (3, {"output": "mine.nii.gz"}, "exists already"),
        (3, {"labels": "seg.nii.gz", "table": "mine.nii.gz"}, "exists already"),
    ],
)
def test_wrong_use_ends_in_one_line(files, tmp_path, fails, monkeypatch, code, more, what):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.nii.gz").write_text("mine")
    given = {"field": files / "disp.nii.gz", "fixed": files / "fixed.nii.gz", "output": "j.nii.gz"}
    assert what in fails(code, "jacobian", **(given | more))
    assert os.listdir(tmp_path) == ["mine.nii.gz"]


def test_labels_from_elsewhere_leave_no_map(files, elsewhere, tmp_path, fails):
    given = {"field": files / "disp.nii.gz", "fixed": files / "fixed.nii.gz"}
    error = fails(3, "jacobian", **given, labels=elsewhere, output=tmp_path / "j.nii.gz")
    assert "lies outside of" in error
    assert os.listdir(tmp_path) == [elsewhere.name]


def test_map_and_table_through_a_link_are_two_files(files, tmp_path, fails):
    (tmp_path / "j.nii.gz").write_text("mine")
    (tmp_path / "v.csv").symlink_to(tmp_path / "j.nii.gz")
    given = {"field": files / "disp.nii.gz", "fixed": files / "fixed.nii.gz"}
    given |= {"labels": files / "fixed_seg.nii.gz", "table": tmp_path / "v.csv"}
    fails(2, "jacobian", "--overwrite", **given, output=tmp_path / "j.nii.gz")
    assert (tmp_path / "j.nii.gz").read_text() == "mine"


def test_labels_that_nobody_would_see_are_refused(scaled, fails):
    folder, _ = scaled
    given = {"field": folder / "a.tfm", "fixed": folder / "fixed.nii.gz"}
    said = fails(2, "jacobian", "--quiet", **given, labels=given["fixed"], output=folder / "j.nii")
    assert "--table" in said and not (folder / "j.nii").exists()
