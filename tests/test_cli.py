"""The command line: what each command writes and prints, and how it fails."""

import gzip
import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

import optreg.registration
from optreg import cli
from optreg.cli import console
from optreg.cli.folder import staged_folder
from optreg.cli.outcome import json_text
from optreg.errors import DeviceError, OutputError
from optreg.image import Image
from optreg.io import load_image, read_field, read_landmarks, save_image, write_field
from optreg.metrics import evaluate
from optreg.transform import DisplacementField

# The processes started here find the package where this one did, installed or not.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
COMMANDS = ("demo", "register", "apply", "evaluate", "info")


@pytest.fixture(scope="module")
def files(blobs, smooth_disp, tmp_path_factory):
    """Folder with a pair, its labels, the field that relates them and its inverse."""
    folder = tmp_path_factory.mktemp("pair")
    field = DisplacementField(smooth_disp, blobs.grid)
    labels = np.digitize(blobs.data, [0.01, 0.35, 0.6]).astype(np.int16)
    save_image(folder / "moving.nii.gz", blobs.data, blobs.grid)
    save_image(folder / "fixed.nii.gz", field.apply(blobs).data, blobs.grid)
    save_image(folder / "moving_seg.nii.gz", labels, blobs.grid)
    save_image(
        folder / "fixed_seg.nii.gz",
        field.apply(Image(labels, blobs.grid), "nearest").data,
        blobs.grid,
    )
    write_field(folder / "disp.nii.gz", smooth_disp, blobs.grid)
    write_field(folder / "disp_itk.nii.gz", smooth_disp, blobs.grid, format="itk")
    write_field(folder / "inverse.nii.gz", field.invert().disp, blobs.grid)
    return folder


def failed(capsys, code, *argv):
    """Run a command that must fail with `code` and exactly one line, which is returned."""
    assert cli.main([str(a) for a in argv]) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1, error
    return error


def left_in(folder):
    return sorted(p.name for p in Path(folder).iterdir())


# ---- help and usage -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"optreg {command}" in text.partition("example:")[2]


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["register"],
        ["register", "--fixed", "a.nii", "--moving", "b.nii"],
        ["register", "--fixed", "a", "--moving", "b", "--output", "c", "--preset", "slow"],
        ["demo", "--threads", "0"],
        ["demo", "--threads", "many"],
        ["apply", "--field", "f.nii"],
    ],
)
def test_wrong_usage_exits_with_2(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(argv)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ["register", "--fixed", "a", "--moving", "b", "--output", "c", "--fixed-labels", "d"],
        [
            "register",
            "--fixed",
            "a",
            "--moving",
            "b",
            "--output",
            "c",
            "--config",
            "x",
            "--preset",
            "fast",
        ],
        ["register", "--fixed", "a", "--moving", "b", "--output", "c", "--config", "missing.toml"],
        ["apply", "--field", "f.nii", "--output", "o.nii"],
        ["evaluate", "--field", "f.nii", "--moving-landmarks", "m.csv"],
    ],
)
def test_contradictory_settings_exit_with_2(argv, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed(capsys, 2, *argv)
    assert left_in(tmp_path) == []


def test_module_starts_without_optional_libraries():
    code = (
        "import sys, optreg.cli\n"
        "try: optreg.cli.main(['register', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'nibabel', 'SimpleITK', 'matplotlib', 'joblib', 'nilearn', 'tqdm', 'cupy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr


def test_python_dash_m_gives_the_exit_code(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "optreg", "info", str(tmp_path / "none.nii.gz")],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert done.returncode == 3 and done.stdout == ""
    assert done.stderr == f"error: {tmp_path / 'none.nii.gz'}: no such file; check the path\n"


# ---- register -----------------------------------------------------------------------------------


def register_argv(files, output, *more):
    return [
        "register",
        "--fixed",
        files / "fixed.nii.gz",
        "--moving",
        files / "moving.nii.gz",
        "--output",
        output,
        "--threads",
        "1",
        *more,
    ]


@pytest.fixture(scope="module")
def result(files, tmp_path_factory):
    """Folder that `optreg register` wrote, with labels and everything."""
    output = tmp_path_factory.mktemp("out") / "result"
    argv = register_argv(
        files,
        output,
        "--fixed-labels",
        files / "fixed_seg.nii.gz",
        "--moving-labels",
        files / "moving_seg.nii.gz",
        "--format",
        "itk",
    )
    assert cli.main([str(a) for a in argv]) == 0
    return output


def test_register_writes_everything_and_nothing_else(result):
    assert left_in(result) == sorted(
        [
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
    )
    assert left_in(result.parent) == ["result"]


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


def test_register_prints_a_table_and_can_be_quiet(files, tmp_path, capsys):
    argv = [str(a) for a in register_argv(files, tmp_path / "a", "--no-report")]
    assert cli.main(argv) == 0
    done = capsys.readouterr()
    assert "non-diffeomorphic volume" in done.out and str(tmp_path / "a") in done.out
    assert "report.html" not in left_in(tmp_path / "a")
    argv[argv.index(str(tmp_path / "a"))] = str(tmp_path / "b")
    assert cli.main([*argv, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_settings_of_a_result_can_be_used_again(result, files, tmp_path):
    argv = [
        "register",
        "--fixed",
        files / "fixed.nii.gz",
        "--moving",
        files / "moving.nii.gz",
        "--output",
        tmp_path / "again",
        "--config",
        result / "config.toml",
        "--no-report",
        "--threads",
        "1",
        "--quiet",
    ]
    assert cli.main([str(a) for a in argv]) == 0
    first, second = (load_image(f / "warped.nii.gz").data for f in (result, tmp_path / "again"))
    np.testing.assert_array_equal(first, second)


def test_existing_result_is_kept_unless_overwritten(files, tmp_path, capsys):
    folder = tmp_path / "result"
    folder.mkdir()
    for name in ("notes.txt", "report.html", "truth.nii.gz"):
        (folder / name).write_text("old")
    argv = register_argv(files, folder, "--no-report")
    assert str(folder) in failed(capsys, 3, *argv)
    assert left_in(folder) == ["notes.txt", "report.html", "truth.nii.gz"]
    assert cli.main([str(a) for a in [*argv, "--overwrite", "--quiet"]]) == 0
    # What belongs to the user stays; what an earlier run left does not mix with the new result.
    assert (folder / "notes.txt").read_text() == "old"
    assert {"disp.nii.gz", "result.json"} <= set(left_in(folder))
    assert not {"report.html", "truth.nii.gz"} & set(left_in(folder))
    assert left_in(tmp_path) == ["result"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (DeviceError("cuda:7: no such device; use cpu"), 4),
        (MemoryError("9.9 GiB are needed"), 4),
        (RuntimeError("what\never"), 1),
    ],
)
def test_whatever_ends_it_leaves_nothing_behind(error, code, files, tmp_path, capsys, monkeypatch):
    def fails(*args, **kwargs):
        raise error

    monkeypatch.setattr(optreg.registration, "register", fails)
    failed(capsys, code, *register_argv(files, tmp_path / "result"))
    assert left_in(tmp_path) == []


def test_debug_shows_where_it_happened(tmp_path, capsys):
    assert cli.main(["info", str(tmp_path / "none.nii"), "--debug"]) == 3
    error = capsys.readouterr().err
    assert "Traceback" in error and error.splitlines()[-1].startswith("error: ")


def test_strict_grid_refuses_another_grid(files, blobs, tmp_path, capsys):
    other = tmp_path / "other.nii.gz"
    cut = (slice(2, None), slice(None), slice(None))
    save_image(other, blobs.data[cut], blobs.grid.crop(cut))
    argv = register_argv(files, tmp_path / "result")
    argv[4] = other
    assert "--strict-grid" in failed(capsys, 3, *argv, "--strict-grid")
    assert left_in(tmp_path) == ["other.nii.gz"]


# ---- bad files ----------------------------------------------------------------------------------


def _text(path, good):
    path.write_text("this is no image\n")


def _cut(path, good):
    path.write_bytes(good.read_bytes()[:3000])


def _empty(path, good):
    path.write_bytes(b"")


def _flipped(path, good):
    content = bytearray(gzip.decompress(good.read_bytes()))
    packed = bytearray(gzip.compress(bytes(content)))
    packed[-6] ^= 0xFF
    path.write_bytes(packed)


def _nan(path, good):
    image = load_image(good)
    data = image.data.copy()
    data[3, 4, 5] = np.nan
    import nibabel

    nibabel.save(nibabel.Nifti1Image(data, image.grid.affine), path)


def _missing(path, good):
    pass


def _folder(path, good):
    path.mkdir()


@pytest.mark.parametrize("damage", [_text, _cut, _empty, _flipped, _nan, _missing, _folder])
@pytest.mark.parametrize("place", ["fixed", "moving"])
def test_bad_image_is_named_and_nothing_is_written(damage, place, files, tmp_path, capsys):
    bad = tmp_path / "bad.nii.gz"
    damage(bad, files / "fixed.nii.gz")
    argv = register_argv(files, tmp_path / "result", "--no-report")
    argv[2 if place == "fixed" else 4] = bad
    assert failed(capsys, 3, *argv).startswith(f"error: {bad}: ")
    assert set(left_in(tmp_path)) <= {"bad.nii.gz"}


def test_nan_can_be_replaced(files, tmp_path):
    _nan(tmp_path / "nan.nii.gz", files / "fixed.nii.gz")
    argv = register_argv(files, tmp_path / "result", "--no-report", "--quiet", "--nan-to", "0")
    argv[2] = tmp_path / "nan.nii.gz"
    assert cli.main([str(a) for a in argv]) == 0


def test_label_map_with_fractions_is_refused(files, tmp_path, capsys):
    argv = register_argv(
        files,
        tmp_path / "result",
        "--fixed-labels",
        files / "fixed.nii.gz",
        "--moving-labels",
        files / "moving_seg.nii.gz",
    )
    assert "label map" in failed(capsys, 3, *argv)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_read_only_output_is_refused_before_any_work(files, tmp_path, capsys):
    tmp_path.chmod(0o500)
    try:
        failed(capsys, 3, *register_argv(files, tmp_path / "result"))
    finally:
        tmp_path.chmod(0o700)


def test_output_below_a_file_is_refused(files, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    failed(capsys, 3, *register_argv(files, tmp_path / "file" / "result"))
    failed(capsys, 3, *register_argv(files, tmp_path / "file"))


# ---- apply --------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["disp", "disp_itk"])
@pytest.mark.parametrize("named", [True, False])
def test_apply_warps_as_the_library_does(field, named, files, blobs, smooth_disp, tmp_path):
    argv = [
        "apply",
        "--field",
        files / f"{field}.nii.gz",
        "--moving",
        files / "moving.nii.gz",
        "--output",
        tmp_path / "w.nii.gz",
        "--quiet",
    ]
    argv += ["--fixed", files / "fixed.nii.gz"] if named else []
    assert cli.main([str(a) for a in argv]) == 0
    warped = load_image(tmp_path / "w.nii.gz")
    assert warped.grid.same_as(blobs.grid)
    expected = DisplacementField(smooth_disp, blobs.grid).apply(blobs).data
    np.testing.assert_allclose(warped.data, expected, atol=1e-4)


@pytest.mark.parametrize("interpolation", ["nearest", "label"])
def test_apply_keeps_labels_whole(interpolation, files, tmp_path):
    argv = [
        "apply",
        "--field",
        files / "disp.nii.gz",
        "--moving",
        files / "moving_seg.nii.gz",
        "--output",
        tmp_path / "seg.nii.gz",
        "--interpolation",
        interpolation,
    ]
    assert cli.main([str(a) for a in argv]) == 0
    warped, fixed = load_image(tmp_path / "seg.nii.gz").data, load_image(files / "fixed_seg.nii.gz")
    assert warped.dtype == np.int16 and set(np.unique(warped)) <= {0, 1, 2, 3}
    assert (warped == fixed.data).mean() > 0.97


def test_apply_moves_points_in_voxels_and_mm(files, blobs, smooth_disp, tmp_path, capsys):
    vox = np.array([[20, 24, 22], [12, 30, 25]])
    (tmp_path / "p.csv").write_text(
        "name,i_vox,j_vox,k_vox\nA,20,24,22\nB,12,30,25\n", encoding="utf-8"
    )
    argv = [
        "apply",
        "--field",
        files / "disp.nii.gz",
        "--fixed",
        files / "fixed.nii.gz",
        "--points",
        tmp_path / "p.csv",
        "--output",
        tmp_path / "q.csv",
    ]
    assert cli.main([str(a) for a in argv]) == 0
    moved = read_landmarks(tmp_path / "q.csv", blobs.grid)
    expected = vox + smooth_disp[:, vox[:, 0], vox[:, 1], vox[:, 2]].T
    assert moved.names == ("A", "B")
    np.testing.assert_allclose(moved.vox, expected, atol=2e-4)
    np.testing.assert_allclose(moved.mm, blobs.grid.voxel_to_world(expected), atol=2e-4)
    assert "2 points" in capsys.readouterr().out


def test_apply_asks_for_the_geometry_that_is_missing(files, blobs, tmp_path, capsys):
    cut = (slice(4, None), slice(None), slice(None))
    save_image(tmp_path / "m.nii.gz", blobs.data[cut], blobs.grid.crop(cut))
    argv = ["apply", "--field", files / "disp.nii.gz", "--output", tmp_path / "w.nii.gz"]
    assert "--fixed" in failed(capsys, 3, *argv, "--moving", tmp_path / "m.nii.gz")
    (tmp_path / "p.csv").write_text("i_vox,j_vox,k_vox\n1,2,3\n")
    assert "--fixed" in failed(capsys, 2, *argv, "--points", tmp_path / "p.csv")
    assert left_in(tmp_path) == ["m.nii.gz", "p.csv"]


def test_apply_does_not_overwrite(files, tmp_path, capsys):
    (tmp_path / "w.nii.gz").write_text("mine")
    argv = [
        "apply",
        "--field",
        files / "disp.nii.gz",
        "--moving",
        files / "moving.nii.gz",
        "--output",
        tmp_path / "w.nii.gz",
    ]
    failed(capsys, 3, *argv)
    assert (tmp_path / "w.nii.gz").read_text() == "mine"


# ---- evaluate -----------------------------------------------------------------------------------


def test_evaluate_writes_and_prints_the_metrics(files, smooth_disp, tmp_path, capsys):
    argv = [
        "evaluate",
        "--field",
        files / "disp.nii.gz",
        "--inverse",
        files / "inverse.nii.gz",
        "--fixed",
        files / "fixed.nii.gz",
        "--fixed-labels",
        files / "fixed_seg.nii.gz",
        "--moving-labels",
        files / "moving_seg.nii.gz",
        "--output",
        tmp_path / "m.json",
    ]
    assert cli.main([str(a) for a in argv]) == 0
    written, printed = json.loads((tmp_path / "m.json").read_text()), capsys.readouterr().out
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


def test_evaluate_matches_landmarks_by_name(files, smooth_disp, tmp_path, capsys):
    fixed = np.array([[20, 24, 22], [12, 30, 25], [25, 20, 18]])
    moving = fixed + smooth_disp[:, fixed[:, 0], fixed[:, 1], fixed[:, 2]].T

    def table(path, names, points):
        rows = [",".join([n, *map(str, p)]) for n, p in zip(names, points, strict=True)]
        path.write_text("\n".join(["name,i_vox,j_vox,k_vox", *rows]) + "\n")
        return path

    first = table(tmp_path / "f.csv", "ABC", fixed)
    second = table(tmp_path / "m.csv", "CAB", moving[[2, 0, 1]])
    argv = [
        "evaluate",
        "--field",
        files / "disp.nii.gz",
        "--fixed",
        files / "fixed.nii.gz",
        "--fixed-landmarks",
        first,
        "--moving-landmarks",
        second,
        "--output",
        tmp_path / "m.json",
    ]
    assert cli.main([str(a) for a in argv]) == 0
    assert json.loads((tmp_path / "m.json").read_text())["tre"]["mean_mm"] < 1e-3
    assert "landmark error" in capsys.readouterr().out
    argv[-1] = tmp_path / "n.json"
    argv[argv.index(second)] = table(tmp_path / "two.csv", "AB", moving[:2])
    assert "counterpart" in failed(capsys, 3, *argv)


def test_evaluate_refuses_labels_from_elsewhere(files, blobs, tmp_path, capsys):
    away = blobs.grid.affine.copy()
    away[:3, 3] += 500
    from optreg.grid import Grid

    save_image(tmp_path / "seg.nii.gz", np.ones(blobs.shape, np.uint8), Grid(blobs.shape, away))
    argv = [
        "evaluate",
        "--field",
        files / "disp.nii.gz",
        "--fixed",
        files / "fixed.nii.gz",
        "--fixed-labels",
        files / "fixed_seg.nii.gz",
        "--moving-labels",
        tmp_path / "seg.nii.gz",
    ]
    assert "outside" in failed(capsys, 3, *argv)


def test_json_has_no_nan():
    text = json_text({"a": {1: float("nan"), 2: np.float32(0.5)}, "b": [np.int64(3), np.inf]})
    assert json.loads(text) == {"a": {"1": None, "2": 0.5}, "b": [3, None]}


# ---- info and demo ------------------------------------------------------------------------------


def test_info_describes_machine_and_files(files, capsys):
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("Python", "numpy", np.__version__, "threads", "GPU"))
    assert cli.main(["info", str(files / "fixed.nii.gz"), str(files / "fixed_seg.nii.gz")]) == 0
    text = capsys.readouterr().out
    assert "40 x 48 x 44 voxels of 1 x 1 x 1 mm" in text and "RAS" in text
    assert "float32" in text and "distinct values" in text


def test_demo_finds_the_truth(tmp_path, capsys):
    pytest.importorskip("nilearn")
    output = tmp_path / "demo"
    argv = ["demo", "--output", str(output), "--voxel-mm", "4", "--threads", "1"]
    assert cli.main(argv) == 0
    text = capsys.readouterr().out
    assert "distance to the truth" in text and "white matter" in text and "report.html" in text
    names = {
        "fixed",
        "moving",
        "fixed_labels",
        "moving_labels",
        "truth",
        "disp",
        "inverse",
        "warped",
        "warped_labels",
    }
    assert {f"{n}.nii.gz" for n in names} | {"report.html", "overview.png"} <= set(left_in(output))
    error = json.loads((output / "metrics.json").read_text())["true_error"]
    truth = read_field(output / "truth.nii.gz").disp * 4
    brain = load_image(output / "fixed_labels.nii.gz").data > 0
    start = np.linalg.norm(truth[:, brain], axis=0).mean()
    assert error["mean_mm"] < 0.75 * start


# ---- parts --------------------------------------------------------------------------------------


def test_staged_folder_disappears_with_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), staged_folder(tmp_path / "a" / "b", False) as folder:
        (folder / "x").write_text("x")
        raise ZeroDivisionError
    assert left_in(tmp_path / "a") == []


def test_staged_folder_is_readable_by_others(tmp_path):
    with staged_folder(tmp_path / "a", False) as folder:
        (folder / "x").write_text("x")
    assert (tmp_path / "a").stat().st_mode & 0o777 == tmp_path.joinpath("a").stat().st_mode & 0o755


def test_full_disk_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="No space"), staged_folder(tmp_path / "a", False):
        raise OSError(28, "No space left on device")
    assert left_in(tmp_path) == []


class Screen:
    """A terminal that remembers."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


def test_progress_shows_stages_on_a_terminal_only(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with console.progress(quiet=False) as report:
        report("continuous", 0.25)
    assert "continuous" in screen.text and "25 %" in screen.text
    screen.text = ""
    with console.progress(quiet=True) as report:
        report("continuous", 0.5)
    assert screen.text == ""


def test_notices_go_to_stderr_unless_quiet(capsys):
    import logging

    for quiet, expected in ((False, "warning: look here\n"), (True, "")):
        console.start_logging(Namespace(quiet=quiet, verbose=False))
        logging.getLogger("optreg").warning("look\nhere")
        done = capsys.readouterr()
        assert done.err == expected and done.out == ""


def test_table_is_aligned(capsys):
    console.print_table([("a", "1.5", "22"), (), ("long name", "", "3")], header=("", "x", "y"))
    assert capsys.readouterr().out == (
        "             x   y\n------------------\na          1.5  22\n\nlong name        3\n"
    )
