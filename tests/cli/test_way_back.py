"""From the moving to the fixed image, where the two are on grids that have nothing in common."""

import json

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from optreg.grid import Grid
from optreg.image import Image
from optreg.io import load_image, read_field, read_landmarks, save_image
from optreg.metrics import dice, evaluate, mean_over_labels
from optreg.metrics.folding import count_folds
from optreg.transform import DisplacementField


@pytest.fixture(scope="module")
def apart(blobs, smooth_disp, tmp_path_factory):
    """Folder: a fixed head, and a moving one on a grid that is turned and cut; their labels."""
    folder = tmp_path_factory.mktemp("apart")
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", [8, -6, 14], degrees=True).as_matrix()
    turn[:3, 3] = 1, -2, 1.5
    affine = turn @ blobs.grid.affine
    affine[:3, 3] += affine[:3, :3] @ [1, 2, -1]
    moving_grid = Grid((39, 44, 46), affine)
    labels = Image(np.digitize(blobs.data, [0.01, 0.35, 0.6]).astype(np.int16), blobs.grid)
    field = DisplacementField(smooth_disp, blobs.grid)
    save_image(folder / "fixed.nii.gz", blobs.data, blobs.grid)
    save_image(folder / "fixed_seg.nii.gz", labels.data, blobs.grid)
    for name, image, how in (("moving", blobs, "linear"), ("moving_seg", labels, "nearest")):
        there = field.compose(DisplacementField.identity(moving_grid)).apply(image, how)
        save_image(folder / f"{name}.nii.gz", there.data, moving_grid)
    return folder


@pytest.fixture(scope="module")
def registered(apart):
    from commands import command_line

    from optreg import cli

    given = {name: apart / f"{name}.nii.gz" for name in ("fixed", "moving")}
    options = {**given, "init": "none", "output": apart / "r", "outputs": "inverse", "threads": 1}
    assert cli.main(command_line("register", "--quiet", **options)) == 0
    return apart / "r"


def overlap(apart, path):
    """Dice of a label map with that of the moving image, voxel by voxel."""
    found, truth = (np.asarray(nib.load(p).dataobj) for p in (path, apart / "moving_seg.nii.gz"))
    return mean_over_labels(dice(truth, found), background=False)


def test_labels_of_the_fixed_image_on_the_moving_one(apart, registered, tmp_path, succeeds):
    """Every way is the same way, and none needs to know the grids."""
    disp, back = (registered / f"{name}.nii.gz" for name in ("disp", "inverse"))
    labels, moving = apart / "fixed_seg.nii.gz", apart / "moving.nii.gz"
    how = {"interpolation": "label", "output": tmp_path / "a.nii.gz"}
    ways = {
        "inverse": [("apply", "--inverse"), {"field": disp, "fixed": labels}],
        "the inverse's file": [("apply",), {"field": back, "moving": labels}],
        "on a named grid": [("apply",), {"field": back, "moving": labels, "fixed": moving}],
    }
    before = (
        overlap(apart, apart / "moving_seg.nii.gz") - 1 + overlap(apart, resampled(apart, tmp_path))
    )
    scores = {}
    for way, (command, options) in ways.items():
        said = succeeds(*command, "--overwrite", **options, **how).err
        assert not said, way
        assert load_image(tmp_path / "a.nii.gz").grid.same_as(load_image(moving).grid)
        scores[way] = overlap(apart, tmp_path / "a.nii.gz")
    assert before < 0.8 and min(scores.values()) > 0.9, (before, scores)
    assert np.ptp(list(scores.values())) < 1e-3, scores


def resampled(apart, folder):
    """Labels of the fixed image on the grid of the moving one, not deformed."""
    labels, moving = (load_image(apart / f"{n}.nii.gz") for n in ("fixed_seg", "moving"))
    still = DisplacementField.identity(moving.grid, labels.grid).apply(labels, "nearest")
    return save_image(folder / "still.nii.gz", still.data, moving.grid)


def test_other_grid_than_the_one_of_the_field_is_said(apart, registered, tmp_path, succeeds):
    given = {"field": registered / "inverse.nii.gz", "moving": apart / "fixed_seg.nii.gz"}
    said = succeeds(
        "apply", **given, fixed=apart / "fixed.nii.gz", interpolation="label",
        output=tmp_path / "a.nii.gz",
    ).err  # fmt: skip
    assert "inverse.nii.gz: field is on another grid; resampled" in said


def test_image_of_the_wrong_side_is_noticed(apart, registered, tmp_path, succeeds):
    given = {"field": registered / "disp.nii.gz", "interpolation": "label"}
    wrong = succeeds("apply", **given, moving=apart / "fixed_seg.nii.gz", output=tmp_path / "a.nii")
    assert "--inverse" in wrong.err and "fixed_seg.nii.gz" in wrong.err
    wrong = succeeds(
        "apply", "--inverse", **given, fixed=apart / "moving_seg.nii.gz", output=tmp_path / "b.nii"
    )
    assert "without --inverse" in wrong.err


def test_image_that_is_elsewhere_is_refused(apart, registered, tmp_path, fails):
    image = load_image(apart / "moving_seg.nii.gz")
    affine = image.grid.affine.copy()
    affine[:3, 3] += 500
    save_image(tmp_path / "far.nii", image.data, Grid(image.shape, affine))
    error = fails(3, "apply", field=registered / "disp.nii.gz", moving=tmp_path / "far.nii",
                  interpolation="label", output=tmp_path / "a.nii")  # fmt: skip
    assert "far.nii" in error and "lies outside" in error and not (tmp_path / "a.nii").exists()


def test_inverse_of_convert_is_that_of_the_result(apart, registered, tmp_path, succeeds):
    """Without naming an image, and bit for bit as with them."""
    field = registered / "disp.nii.gz"
    images = {name: apart / f"{name}.nii.gz" for name in ("fixed", "moving")}
    succeeds("convert", "--inverse", field=field, to="itk", output=tmp_path / "a.nii.gz")
    succeeds("convert", "--inverse", field=field, to="itk", **images, output=tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    found, stored = (read_field(p) for p in (tmp_path / "a.nii.gz", registered / "inverse.nii.gz"))
    assert found.fixed_grid.same_as(stored.fixed_grid)
    np.testing.assert_allclose(found.disp, stored.disp, atol=1e-3)


def test_points_go_there_and_back(apart, registered, tmp_path, succeeds):
    field = registered / "disp.nii.gz"
    (tmp_path / "p.csv").write_text("i_vox,j_vox,k_vox\n20,24,22\n14,30,25\n27,20,18\n")
    succeeds("apply", field=field, points=tmp_path / "p.csv", output=tmp_path / "q.csv")
    succeeds("apply", "--inverse", field=field, points=tmp_path / "q.csv",
             output=tmp_path / "r.csv")  # fmt: skip
    fixed, moving = (load_image(apart / f"{n}.nii.gz").grid for n in ("fixed", "moving"))
    start, there, back = (
        read_landmarks(tmp_path / f"{n}.csv", grid)
        for n, grid in (("p", fixed), ("q", moving), ("r", fixed))
    )
    assert np.abs(there.mm - start.mm).max() > 0.5
    np.testing.assert_allclose(back.mm, start.mm, atol=0.1)
    np.testing.assert_allclose(there.vox, moving.world_to_voxel(there.mm), atol=1e-4)


def test_inverse_asks_for_what_it_cannot_know(files, tmp_path, fails):
    given = {"field": files / "network.nii.gz", "output": tmp_path / "a.nii"}
    fixed = files / "fixed_seg.nii.gz"
    assert "--moving" in fails(2, "apply", "--inverse", **given, fixed=fixed)
    assert "--fixed" in fails(2, "apply", "--inverse", **given, moving=fixed)


def test_exported_inverse_never_folds(apart, registered):
    for name in ("disp", "inverse"):
        assert count_folds(read_field(registered / f"{name}.nii.gz").disp).folded_tetrahedra == 0


def test_inverse_is_judged_where_the_field_is(apart, registered, succeeds, tmp_path):
    """Whatever grid it is on: by the command and in Python, as by hand on points."""
    field, inverse = (read_field(registered / f"{name}.nii.gz") for name in ("disp", "inverse"))
    found = evaluate(field, inverse=inverse)["inverse_consistency"]["mean_vox"]
    files = {"field": registered / "disp.nii.gz", "inverse": registered / "inverse.nii.gz"}
    said = succeeds("evaluate", **files, output=tmp_path / "m.json").err
    told = json.loads((tmp_path / "m.json").read_text())["inverse_consistency"]["mean_vox"]
    assert told == pytest.approx(found, abs=1e-6) and "resampled" in said
    inside = np.argwhere(load_image(apart / "fixed.nii.gz").data > 0)[::20]
    back = inverse.to_points_mm(field.to_points_mm(field.fixed_grid.voxel_to_world(inside)))
    off = np.linalg.norm(back - field.fixed_grid.voxel_to_world(inside), axis=1)
    assert off.mean() < 0.1 and found < 0.2
