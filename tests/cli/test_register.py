"""``optreg register``: what it writes and prints, and that nothing half-done stays behind."""

import json
import os
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

import optreg.registration
from optreg.errors import DeviceError
from optreg.grid import Grid
from optreg.io import load_image, read_field, save_image
from optreg.metrics import evaluate


def test_register_writes_everything_and_nothing_else(result):
    assert sorted(os.listdir(result)) == [
        "config.toml",
        "disp.nii.gz",
        "disp_itk.nii.gz",
        "inverse.nii.gz",
        "inverse_itk.nii.gz",
        "metrics.json",
        "overview.png",
        "report.html",
        "result.json",
        "warped.nii.gz",
        "warped_labels.nii.gz",
    ]
    assert os.listdir(result.parent) == ["result"]


def test_registered_images_match(result, files):
    fixed, moving, warped = (
        load_image(p).data
        for p in (files / "fixed.nii.gz", files / "moving.nii.gz", result / "warped.nii.gz")
    )
    assert np.abs(warped - fixed).mean() < 0.6 * np.abs(moving - fixed).mean()


def test_registered_fields_agree_in_both_formats(result, files):
    grid = load_image(files / "fixed.nii.gz").grid
    voxels, itk = (read_field(result / f"{n}.nii.gz", grid).disp for n in ("disp", "disp_itk"))
    np.testing.assert_allclose(voxels, itk, atol=1e-4)


def test_metrics_file_holds_what_evaluate_says(result, files):
    written = json.loads((result / "metrics.json").read_text())
    fixed = load_image(files / "fixed.nii.gz")
    expected = evaluate(
        read_field(result / "disp.nii.gz", fixed.grid).disp,
        fixed_labels=load_image(files / "fixed_seg.nii.gz").data,
        moving_labels=load_image(files / "moving_seg.nii.gz").data,
        fixed_mask=fixed.data > 0,
    )
    assert written["dice"]["mean"] == pytest.approx(expected["dice"]["mean"])
    assert written["folding"]["ndv_percent"] == pytest.approx(expected["folding"]["ndv_percent"])
    assert "true_error" not in written and written["inverse_consistency"]["mean_vox"] < 1


def test_register_prints_a_table_and_can_be_quiet(pair, tmp_path, succeeds):
    text = succeeds("register", "--no-report", **pair, output=tmp_path / "a").out
    assert "non-diffeomorphic volume" in text and str(tmp_path / "a") in text
    assert "report.html" not in os.listdir(tmp_path / "a")
    silent = succeeds("register", "--no-report", "--quiet", **pair, output=tmp_path / "b")
    assert silent == ("", "")


def test_settings_of_a_result_can_be_used_again(result, pair, tmp_path, succeeds):
    again = {"output": tmp_path / "again", "config": result / "config.toml"}
    succeeds("register", "--no-report", "--quiet", **pair, **again)
    first, second = (load_image(f / "warped.nii.gz").data for f in (result, tmp_path / "again"))
    np.testing.assert_array_equal(first, second)


def test_existing_result_is_kept_unless_overwritten(pair, tmp_path, succeeds, fails):
    folder = tmp_path / "result"
    folder.mkdir()
    for name in ("notes.txt", "report.html", "truth.nii.gz"):
        (folder / name).write_text("old")
    assert str(folder) in fails(3, "register", "--no-report", **pair, output=folder)
    assert sorted(os.listdir(folder)) == ["notes.txt", "report.html", "truth.nii.gz"]
    succeeds("register", "--no-report", "--overwrite", "--quiet", **pair, output=folder)
    # What belongs to the user stays; what an earlier run left does not mix with the new result.
    assert (folder / "notes.txt").read_text() == "old"
    assert {"disp.nii.gz", "result.json"} <= set(os.listdir(folder))
    assert not {"report.html", "truth.nii.gz"} & set(os.listdir(folder))
    assert os.listdir(tmp_path) == ["result"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (DeviceError("cuda:7: no such device; use cpu"), 4),
        (MemoryError("9.9 GiB are needed"), 4),
        (RuntimeError("what\never"), 1),
    ],
)
def test_whatever_ends_it_leaves_nothing_behind(error, code, pair, tmp_path, fails, monkeypatch):
    def stop(*args, **kwargs):
        raise error

    monkeypatch.setattr(optreg.registration, "register", stop)
    fails(code, "register", **pair, output=tmp_path / "result")
    assert os.listdir(tmp_path) == []


def test_a_field_can_be_refined(pair, files, tmp_path, succeeds, fails):
    assert "name it with --init" in fails(2, "register", "--refine", **pair, output=tmp_path / "a")
    options = {**pair, "init": files / "disp.nii.gz", "output": tmp_path / "a"}
    succeeds("register", "--refine", "--no-report", "--quiet", **options)
    history = json.loads((tmp_path / "a" / "result.json").read_text())["history"]
    assert {entry["level"] for entry in history} == {1}
    truth, found = (read_field(p).disp for p in (options["init"], tmp_path / "a/disp.nii.gz"))
    inside = load_image(pair["fixed"]).data > 0
    assert np.linalg.norm(found - truth, axis=0)[inside].mean() < 0.3


@pytest.mark.parametrize(
    ("words", "aligned"), [(["--init", "rigid"], True), ([], True), (["--init", "none"], False)]
)
def test_images_can_be_aligned_first(words, aligned, pair, blobs, tmp_path, succeeds):
    header = blobs.grid.affine.copy()
    header[:3, 3] += [30.0, -25, 20]
    pair["moving"] = tmp_path / "away.nii.gz"
    save_image(pair["moving"], blobs.data, Grid(blobs.shape, header))
    succeeds("register", "--no-report", "--quiet", *words, **pair, output=tmp_path / "a")
    fixed, warped = (load_image(p).data for p in (pair["fixed"], tmp_path / "a" / "warped.nii.gz"))
    assert (np.corrcoef(fixed.ravel(), warped.ravel())[0, 1] > 0.95) == aligned


def test_strict_grid_refuses_another_grid(pair, blobs, tmp_path, fails):
    pair["moving"] = tmp_path / "other.nii.gz"
    cut = (slice(2, None), slice(None), slice(None))
    save_image(pair["moving"], blobs.data[cut], blobs.grid.crop(cut))
    error = fails(3, "register", "--strict-grid", **pair, output=tmp_path / "result")
    assert "--strict-grid" in error
    assert os.listdir(tmp_path) == ["other.nii.gz"]


@pytest.mark.parametrize("place", ["fixed", "moving"])
def test_labels_from_elsewhere_are_refused_before_any_work(
    place, pair, files, elsewhere, tmp_path, fails, monkeypatch
):
    monkeypatch.setattr(optreg.registration, "register", lambda *_, **__: pytest.fail("too late"))
    labels = {f"{n}_labels": files / f"{n}_seg.nii.gz" for n in ("fixed", "moving")}
    labels[f"{place}_labels"] = elsewhere
    error = fails(3, "register", **pair, **labels, output=tmp_path / "result")
    assert error.startswith(f"error: {elsewhere}: lies outside of {pair[place]};")


def test_labels_go_with_a_moving_image_that_lies_apart(
    pair, files, elsewhere, blobs, tmp_path, succeeds
):
    pair["moving"] = tmp_path / "away.nii.gz"
    save_image(pair["moving"], blobs.data, load_image(elsewhere).grid)
    labels = {"fixed_labels": files / "fixed_seg.nii.gz", "moving_labels": elsewhere}
    options = {**pair, **labels, "init": "translation", "preset": "fast"}
    succeeds("register", "--no-report", "--quiet", **options, output=tmp_path / "a")
    paths = tmp_path / "a" / "warped_labels.nii.gz", labels["fixed_labels"]
    warped, fixed = (load_image(path).data for path in paths)
    assert (warped == fixed)[fixed > 0].mean() > 0.85


def codes(path):
    header = nib.load(path).header
    return int(header["sform_code"]), int(header["qform_code"])


@pytest.mark.parametrize("part", [np.s_[:, :, :], np.s_[:, :, 20:21], np.s_[:, ::3, :]],
                         ids=["volume", "slice", "thick"])  # fmt: skip
def test_results_are_in_the_world_of_the_fixed_image(part, files, tmp_path, succeeds):
    for name in ("fixed", "moving", "fixed_seg", "moving_seg"):
        image, code = load_image(files / f"{name}.nii.gz"), 4 if "fixed" in name else 2
        grid = replace(image.grid.crop(part), space=code)
        save_image(tmp_path / f"{name}.nii.gz", image.data[part], grid)
    given = {name: tmp_path / f"{name}.nii.gz" for name in ("fixed", "moving")}
    labels = {f"{name}_labels": tmp_path / f"{name}_seg.nii.gz" for name in given}
    quick, out = {"preset": "fast", "threads": 1}, tmp_path / "r"
    succeeds("register", "--no-report", **given, **labels, **quick, format="itk", output=out)
    there = {"field": out / "disp.nii.gz", "fixed": given["fixed"]}
    succeeds("apply", **there, moving=given["moving"], output=out / "applied.nii.gz")
    succeeds("jacobian", **there, output=out / "jacobian.nii.gz")
    written = ("warped", "warped_labels", "disp_itk", "applied", "jacobian")
    assert {codes(out / f"{name}.nii.gz") for name in written} == {(4, 4)}
    # The challenge takes no geometry at all.
    assert codes(out / "disp.nii.gz") == (1, 1)


def test_propagated_labels_are_in_the_world_of_the_target(files, tmp_path, succeeds):
    image = load_image(files / "fixed.nii.gz")
    target = save_image(tmp_path / "t.nii.gz", image.data, replace(image.grid, space=5))
    atlas = ("--atlas", files / "moving.nii.gz", files / "moving_seg.nii.gz")
    out = tmp_path / "out"
    succeeds("propagate", "--no-report", *atlas, target=target, preset="fast", threads=1,
             output=out)  # fmt: skip
    assert {codes(out / f"{name}.nii.gz") for name in ("labels", "agreement")} == {(5, 5)}


def test_labels_that_are_not_there_cannot_be_written(pair, tmp_path, fails):
    error = fails(2, "register", "--outputs", "labels", **pair, output=tmp_path / "r")
    assert "--outputs labels" in error and not (tmp_path / "r").exists()
