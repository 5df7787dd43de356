"""``optreg apply``: images, label maps and points, against the library."""

import os

import numpy as np
import pytest

from optreg.grid import Grid
from optreg.image import Image
from optreg.io import load_image, read_landmarks, save_image
from optreg.io.fields import write_transform
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
    given = {"field": files / "network.nii.gz", "output": tmp_path / "w.nii.gz"}
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


def test_outside_is_filled_as_a_registration_does(files, blobs, tmp_path, succeeds):
    # As in CT: air is far below zero, and the moving image ends within the fixed one.
    air, cut = -1000, np.s_[6:, :, :-5]
    for name, part in (("fixed", np.s_[:, :, :]), ("moving", cut)):
        image = load_image(files / f"{name}.nii.gz")
        data = (image.data[part] * 1500 + air).astype(np.int16)
        save_image(tmp_path / f"{name}.nii.gz", data, image.grid.crop(part))
    images = {name: tmp_path / f"{name}.nii.gz" for name in ("fixed", "moving")}
    succeeds("register", **images, output=tmp_path / "r", preset="fast", init="none", threads=1)
    field = tmp_path / "r/disp.nii.gz"
    succeeds("apply", field=field, **images, output=tmp_path / "w.nii.gz")
    warped = load_image(tmp_path / "w.nii.gz").data
    assert warped[0, 0, -1] == air
    np.testing.assert_array_equal(warped, load_image(tmp_path / "r/warped.nii.gz").data)


@pytest.mark.parametrize("interpolation", ["nearest", "label"])
@pytest.mark.parametrize(("lowest", "outside"), [(0, 0), (-3, 0), (4, 4)])
def test_labels_end_in_zero_where_they_have_it(
    interpolation, lowest, outside, files, blobs, tmp_path, succeeds
):
    cut = np.s_[6:, :, :]
    labels = load_image(files / "moving_seg.nii.gz").data[cut] + lowest
    if lowest:
        labels[labels == 0] = lowest
    if lowest < 0:
        labels[0, 0, 0] = 0
    save_image(tmp_path / "m.nii.gz", labels.astype(np.int16), blobs.grid.crop(cut))
    succeeds("apply", field=files / "disp_itk.nii.gz", moving=tmp_path / "m.nii.gz",
             interpolation=interpolation, output=tmp_path / "w.nii.gz")  # fmt: skip
    warped = load_image(tmp_path / "w.nii.gz").data
    assert warped.dtype == np.int16 and (warped[:2] == outside).all()


@pytest.fixture
def apart(blobs, smooth_disp, tmp_path):
    """Options that name an image on a mirrored, turned grid and one on another; their field."""
    turn = np.array([[1.2, 0.2, 0, 0], [0.1, 0, 1.1, 0], [0, 1.3, -0.1, 0], [0, 0, 0, 1]])
    turn[:3, 3] = -turn[:3, :3] @ [18, 20, 22] + blobs.grid.affine[:3, 3] + [20, 24, 22]
    grid = Grid((36, 40, 44), turn)
    assert np.linalg.det(turn[:3, :3]) * np.linalg.det(blobs.grid.affine[:3, :3]) < 0
    image = DisplacementField.identity(grid).apply(blobs)
    save_image(tmp_path / "moving.nii.gz", image.data, grid)
    save_image(tmp_path / "fixed.nii.gz", blobs.data, blobs.grid)
    field = DisplacementField(smooth_disp, blobs.grid, grid)
    write_transform(tmp_path / "disp.nii.gz", field, format="l2r")
    return {name: tmp_path / f"{name}.nii.gz" for name in ("fixed", "moving")}


@pytest.mark.parametrize("format", ["fsl", "itk"])
def test_every_format_warps_alike(format, apart, tmp_path, succeeds):
    field, there = tmp_path / "disp.nii.gz", tmp_path / "there.nii.gz"
    succeeds("convert", field=field, **apart, to=format, output=there)
    succeeds("apply", field=field, **apart, output=tmp_path / "a.nii.gz")
    succeeds("apply", field=there, **apart, output=tmp_path / "b.nii.gz")
    said = succeeds("apply", field=there, moving=apart["moving"], output=tmp_path / "c.nii.gz")
    first, *others = (load_image(tmp_path / f"{name}.nii.gz") for name in "abc")
    assert (first.data > 0.3).mean() > 0.1 and said.err == ""
    for other in others:
        assert other.grid.same_as(first.grid)
        np.testing.assert_allclose(other.data, first.data, atol=1e-3)


def test_points_go_through_a_warp_of_fsl(apart, tmp_path, succeeds):
    field, there = tmp_path / "disp.nii.gz", tmp_path / "fsl.nii.gz"
    succeeds("convert", field=field, **apart, to="fsl", output=there)
    (tmp_path / "p.csv").write_text("i_vox,j_vox,k_vox\n20,24,22\n")
    moved = []
    for name, path in (("a", field), ("b", there)):
        output = tmp_path / f"{name}.csv"
        succeeds("apply", field=path, **apart, points=tmp_path / "p.csv", output=output)
        moved.append(read_landmarks(output, load_image(apart["moving"]).grid))
    np.testing.assert_allclose(moved[1].mm, moved[0].mm, atol=1e-3)
    np.testing.assert_allclose(moved[1].vox, moved[0].vox, atol=1e-3)


@pytest.mark.parametrize("format", ["fsl", "itk"])
def test_field_that_states_the_plainest_grid_keeps_it(
    format, blobs, smooth_disp, tmp_path, succeeds
):
    # The same shape and voxels, but the images lie apart by the origin of the moving one.
    plain = Grid.identity(blobs.grid.shape)
    affine = np.eye(4)
    affine[:3, 3] = 5, -4, 3
    moving = Image(blobs.data, Grid(blobs.grid.shape, affine))
    save_image(tmp_path / "m.nii.gz", moving.data, moving.grid)
    field = DisplacementField(smooth_disp, plain, moving.grid)
    write_transform(tmp_path / "f.nii.gz", field, format=format)
    given = {"field": tmp_path / "f.nii.gz", "moving": tmp_path / "m.nii.gz"}
    assert succeeds("apply", **given, output=tmp_path / "w.nii.gz").err == ""
    warped = load_image(tmp_path / "w.nii.gz")
    assert warped.grid.same_as(plain)
    np.testing.assert_allclose(warped.data, field.apply(moving).data, atol=1e-3)


def test_grid_that_is_taken_for_granted_is_said(files, blobs, tmp_path, succeeds):
    given = {"field": files / "network.nii.gz", "moving": files / "moving.nii.gz"}
    said = succeeds("apply", **given, output=tmp_path / "a.nii.gz").err
    assert said.startswith("warning: ") and "is taken to be on the grid of" in said
    assert "--fixed" in said and said.count("\n") == 1
    fixed = files / "fixed.nii.gz"
    assert succeeds("apply", **given, fixed=fixed, output=tmp_path / "b.nii.gz").err == ""
    save_image(tmp_path / "m.nii.gz", blobs.data, Grid.identity(blobs.grid.shape))
    given["moving"] = tmp_path / "m.nii.gz"
    assert succeeds("apply", **given, output=tmp_path / "c.nii.gz").err == ""


def test_label_map_stays_one_without_being_called_so(files, tmp_path, succeeds):
    given = {"field": files / "disp.nii.gz", "fixed": files / "fixed.nii.gz"}
    labels = files / "moving_seg.nii.gz"
    said = succeeds("apply", **given, moving=labels, output=tmp_path / "a.nii.gz").err
    assert said.startswith(f"warning: {labels}: looks like a label map") and said.count("\n") == 1
    assert "linear" in said
    named = {**given, "moving": labels, "interpolation": "label"}
    assert succeeds("apply", **named, output=tmp_path / "b.nii.gz").err == ""
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    averaged = {**named, "interpolation": "linear"}
    assert succeeds("apply", **averaged, output=tmp_path / "c.nii.gz").err == ""
    assert len(np.unique(load_image(tmp_path / "c.nii.gz").data)) > 100
    image = {**given, "moving": files / "moving.nii.gz"}
    assert succeeds("apply", **image, output=tmp_path / "d.nii.gz").err == ""


def test_label_map_that_is_not_called_so_ends_in_its_background(files, blobs, tmp_path, succeeds):
    cut = np.s_[6:, :, :]
    labels = load_image(files / "moving_seg.nii.gz").data[cut] - 3
    save_image(tmp_path / "m.nii.gz", labels.astype(np.int16), blobs.grid.crop(cut))
    succeeds("apply", field=files / "disp_itk.nii.gz", moving=tmp_path / "m.nii.gz",
             output=tmp_path / "w.nii.gz")  # fmt: skip
    assert (load_image(tmp_path / "w.nii.gz").data[:2] == 0).all()
