"""``optreg evaluate``: the numbers of the library, written and printed."""

import json

import numpy as np
import pytest

from optreg.io import load_image
from optreg.metrics import evaluate


@pytest.fixture
def given(files):
    """Options that name the field and the fixed image."""
    return {"field": files / "disp.nii.gz", "fixed": files / "fixed.nii.gz"}


def test_evaluate_writes_and_prints_the_metrics(given, files, smooth_disp, tmp_path, succeeds):
    printed = succeeds(
        "evaluate",
        **given,
        inverse=files / "inverse.nii.gz",
        fixed_labels=files / "fixed_seg.nii.gz",
        moving_labels=files / "moving_seg.nii.gz",
        output=tmp_path / "m.json",
    ).out
    written = json.loads((tmp_path / "m.json").read_text())
    fixed, seg_f, seg_m = (
        load_image(files / f"{n}.nii.gz").data for n in ("fixed", "fixed_seg", "moving_seg")
    )
    expected = evaluate(smooth_disp, fixed_labels=seg_f, moving_labels=seg_m, fixed_mask=fixed > 0)
    assert written["dice"]["per_label"] == {
        str(k): pytest.approx(v) for k, v in expected["dice"]["per_label"].items()
    }
    start = evaluate(0 * smooth_disp, fixed_labels=seg_f, moving_labels=seg_m, hd95=False)["dice"]
    for value in (start, expected["dice"]):
        assert f"{value['mean_without_background']:.3f}" in printed
    assert written["inverse_consistency"]["mean_vox"] < 0.1


def test_evaluate_matches_landmarks_by_name(given, smooth_disp, tmp_path, succeeds, fails):
    fixed = np.array([[20, 24, 22], [12, 30, 25], [25, 20, 18]])
    moving = fixed + smooth_disp[:, fixed[:, 0], fixed[:, 1], fixed[:, 2]].T

    def table(path, names, points):
        rows = [",".join([n, *map(str, p)]) for n, p in zip(names, points, strict=True)]
        path.write_text("\n".join(["name,i_vox,j_vox,k_vox", *rows]) + "\n")
        return path

    given["fixed_landmarks"] = table(tmp_path / "f.csv", "ABC", fixed)
    three = table(tmp_path / "m.csv", "CAB", moving[[2, 0, 1]])
    done = succeeds("evaluate", **given, moving_landmarks=three, output=tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text())["tre"]["mean_mm"] < 1e-3
    assert "landmark error" in done.out
    two = table(tmp_path / "two.csv", "AB", moving[:2])
    error = fails(3, "evaluate", **given, moving_landmarks=two, output=tmp_path / "n.json")
    assert "counterpart" in error


def test_evaluate_asks_for_the_geometry_that_landmarks_need(files, tmp_path, succeeds, fails):
    points = tmp_path / "p.csv"
    points.write_text("x_mm,y_mm,z_mm\n0,0,0\n-8,6,3\n")
    moved = tmp_path / "q.csv"
    on = {"field": files / "network.nii.gz", "fixed": files / "fixed.nii.gz"}
    succeeds("apply", "--quiet", **on, points=points, output=moved)
    given = {"fixed_landmarks": points, "moving_landmarks": moved, "output": tmp_path / "m.json"}
    error = fails(2, "evaluate", field=on["field"], **given)
    assert "has no geometry; name the fixed image with --fixed" in error
    for known in (on, {"field": files / "disp_itk.nii.gz"}):
        succeeds("evaluate", "--overwrite", **known, **given)
        assert json.loads((tmp_path / "m.json").read_text())["tre"]["mean_mm"] < 1e-3


def test_evaluate_takes_a_series_for_its_grid_only(given, series, tmp_path, succeeds, fails):
    points = tmp_path / "p.csv"
    points.write_text("x_mm,y_mm,z_mm\n0,0,0\n-8,6,3\n")
    landmarks = {"fixed_landmarks": points, "moving_landmarks": points}
    succeeds("evaluate", **given, **landmarks, moving=series)
    given["fixed"] = series
    error = fails(3, "evaluate", **given)
    assert "holds 2 volumes; extract one" in error and "--volume" not in error


def test_evaluate_refuses_labels_from_elsewhere(given, files, elsewhere, fails):
    given["fixed_labels"] = files / "fixed_seg.nii.gz"
    assert "outside" in fails(3, "evaluate", **given, moving_labels=elsewhere)
