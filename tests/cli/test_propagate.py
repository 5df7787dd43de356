"""``optreg propagate``: files, the table, going on after a stop, messages."""

import csv
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from commands import command_line

from optreg.image import Image
from optreg.io import load_image, save_image
from optreg.propagation import fuse, pipeline
from optreg.registration import register
from optreg.transform import DisplacementField


@pytest.fixture(scope="module")
def people(files, blobs, smooth_disp, tmp_path_factory):
    """Folder with a second atlas beside that of `files`, and a table that names both."""
    folder = tmp_path_factory.mktemp("atlases")
    field = DisplacementField(-0.7 * smooth_disp, blobs.grid)
    labels = load_image(files / "moving_seg.nii.gz")
    save_image(folder / "other.nii.gz", field.apply(blobs).data, blobs.grid)
    save_image(folder / "other_seg.nii.gz", field.apply(labels, "label").data, blobs.grid)
    near = os.path.relpath(files, folder)
    (folder / "atlases.csv").write_text(
        f"image,labels,name\nother.nii.gz,other_seg.nii.gz,\n"
        f"{near}/moving.nii.gz,{near}/moving_seg.nii.gz,first\n"
    )
    return folder


@pytest.fixture
def options(files):
    """Of a quick run that labels the fixed image."""
    return {"target": files / "fixed.nii.gz", "preset": "fast", "threads": 1}


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_atlases_of_a_table_label_the_target(files, people, options, tmp_path, succeeds):
    said = succeeds("propagate", **options, atlases=people / "atlases.csv", fusion="majority",
                    target_labels=files / "fixed_seg.nii.gz", output=tmp_path / "out")  # fmt: skip
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {
        "labels.nii.gz", "agreement.nii.gz", "volumes.csv", "config.toml", "result.json",
        "metrics.json", "overview.png",
    }  # fmt: skip
    target = load_image(files / "fixed.nii.gz")
    pairs = [
        (people / "other.nii.gz", people / "other_seg.nii.gz"),
        (files / "moving.nii.gz", files / "moving_seg.nii.gz"),
    ]
    maps = [
        register(target, load_image(image), preset="fast", threads=1)
        .transform.apply(load_image(labels), "label")
        .data
        for image, labels in pairs
    ]
    found = load_image(tmp_path / "out/labels.nii.gz")
    np.testing.assert_array_equal(found.data, fuse(maps).labels)
    assert found.data.dtype == np.int16 and found.grid.same_as(target.grid)
    record = json.loads((tmp_path / "out/result.json").read_text())
    assert [atlas["name"] for atlas in record["atlases"]] == ["other", "first"]
    assert "other" in said.out and "first" in said.out


def test_dice_is_that_of_simpleitk(files, options, tmp_path, succeeds):
    said = succeeds("propagate", "--atlas", files / "moving.nii.gz", files / "moving_seg.nii.gz",
                    **options, target_labels=files / "fixed_seg.nii.gz",
                    output=tmp_path / "out")  # fmt: skip
    truth, found = (
        sitk.ReadImage(str(path))
        for path in (files / "fixed_seg.nii.gz", tmp_path / "out/labels.nii.gz")
    )
    overlap, shape = sitk.LabelOverlapMeasuresImageFilter(), sitk.LabelShapeStatisticsImageFilter()
    overlap.Execute(truth, found)
    shape.Execute(found)
    dice = json.loads((tmp_path / "out/metrics.json").read_text())["dice"]
    expected = [overlap.GetDiceCoefficient(label) for label in (1, 2, 3)]
    np.testing.assert_allclose([dice["per_label"][str(n)] for n in (1, 2, 3)], expected)
    assert f"{np.mean(expected):.4f}" in said.out.splitlines()[-2]
    volumes = {
        int(row["label"]): float(row["volume_mm3"]) for row in rows(tmp_path / "out/volumes.csv")
    }
    assert volumes == pytest.approx({n: shape.GetPhysicalSize(n) for n in (1, 2, 3)})


def test_a_run_that_was_stopped_goes_on(people, options, tmp_path, succeeds, fails, monkeypatch):
    done = []

    def stopped(fixed, moving, **how):
        if done == ["other.nii.gz"]:
            done.append("stop")
            raise KeyboardInterrupt
        done.append(os.path.basename(moving.name))
        return register(fixed, moving, **how)

    monkeypatch.setattr(pipeline, "register", stopped)
    given = {**options, "atlases": people / "atlases.csv", "output": tmp_path / "out"}
    given["init"] = "none"
    assert "interrupted" in fails(130, "propagate", "--keep", **given)
    assert os.listdir(tmp_path / "out") == ["atlases"]
    said = succeeds("propagate", "--keep", **given)
    assert done == ["other.nii.gz", "stop", "moving.nii.gz"] and "kept" in said.out
    assert (tmp_path / "out/atlases/first/disp.nii.gz").is_file()
    assert "not empty" in fails(3, "propagate", "--keep", **given)
    succeeds("propagate", "--keep", "--overwrite", **given, fusion="majority")
    assert len(done) == 3
    assert (tmp_path / "out/atlases/first/disp.nii.gz").is_file()


def test_without_pictures(files, options, tmp_path, succeeds):
    succeeds("propagate", "--no-report", "--quiet", "--atlas", files / "moving.nii.gz",
             files / "moving_seg.nii.gz", **options, output=tmp_path / "out")  # fmt: skip
    assert not (tmp_path / "out/overview.png").exists()
    assert not (tmp_path / "out/metrics.json").exists()


@pytest.mark.parametrize(
    ("code", "more", "what"),
    [
        (2, {}, "give --atlas IMAGE LABELS"),
        (3, {"atlases": "nowhere.csv"}, "nowhere.csv: no such file"),
        (3, {"atlases": "missing.csv"}, "missing.nii.gz: no such file"),
        (3, {"atlases": "columns.csv"}, "has no column labels"),
        (3, {"atlases": "gap.csv"}, "row 2 lacks an image or labels"),
        (2, {"atlases": "good.csv", "power": -1}, "power -1"),
        (2, {"atlases": "good.csv", "config": "c.toml"}, "exclude each other"),
        (3, {"atlases": "good.csv", "target": "missing.nii"}, "missing.nii: no such file"),
        (3, {"atlases": "good.csv", "output": "."}, "not empty"),
    ],
)
def test_wrong_use_ends_in_one_line(files, options, tmp_path, fails, monkeypatch, code, more, what):
    monkeypatch.chdir(tmp_path)
    good = f"{files / 'moving.nii.gz'},{files / 'moving_seg.nii.gz'}\n"
    tables = {
        "missing": f"image,labels\n{good}missing.nii.gz,missing.nii.gz\n",
        "columns": "image,label\na,b\n",
        "gap": f"image,labels\n{good}{files / 'moving.nii.gz'},\n",
        "good": f"image,labels\n{good}",
    }
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text)
    given = {**options, "output": "out"} | more
    assert what in fails(code, "propagate", **given)
    assert not (tmp_path / "out").exists()


def test_labels_that_are_none_are_refused(files, blobs, options, tmp_path, fails):
    save_image(tmp_path / "halves.nii.gz", blobs.data, blobs.grid)
    error = fails(3, "propagate", "--atlas", files / "moving.nii.gz", tmp_path / "halves.nii.gz",
                  **options, output=tmp_path / "out")  # fmt: skip
    assert "halves.nii.gz: labels hold fractions" in error


@pytest.mark.parametrize("place", ["atlas", "target"])
def test_labels_from_elsewhere_are_refused_before_any_work(
    place, files, elsewhere, options, tmp_path, fails, monkeypatch
):
    monkeypatch.setattr(pipeline, "register", lambda *_, **__: pytest.fail("too late"))
    good = {"atlas": files / "moving_seg.nii.gz", "target": files / "fixed_seg.nii.gz"}
    labels = good | {place: elsewhere}
    image = files / ("moving.nii.gz" if place == "atlas" else "fixed.nii.gz")
    error = fails(3, "propagate", "--atlas", files / "moving.nii.gz", labels["atlas"], **options,
                  target_labels=labels["target"], output=tmp_path / "out")  # fmt: skip
    assert error.startswith(f"error: {elsewhere}: lies outside of {image};")
    assert not (tmp_path / "out").exists()


def test_the_picture_shows_labels_in_colours_that_differ():
    from optreg.report.segmentation import label_colours, segmentation_figure

    labels = np.arange(200).reshape(10, 20)
    colours = label_colours(labels).reshape(200, 4)
    assert colours[0, 3] == 0 and (colours[1:, 3] > 0).all()
    apart = np.abs(colours[1:, None, :3] - colours[None, 1:, :3]).sum(axis=2)
    assert apart[~np.eye(199, dtype=bool)].min() > 0
    np.testing.assert_array_equal(label_colours(labels[3:5]).reshape(40, 4), colours[60:100])
    image = Image.from_array(np.ones((12, 10, 8)))
    empty = segmentation_figure(image, np.zeros((12, 10, 8), int), np.ones((12, 10, 8)), "none")
    assert empty.get_suptitle() == "none"


KILLED = """
import os, signal, sys, types
from optreg.cli import main
from optreg.io import files

left = [2]  # the field and the record of the first atlas get their names, nothing after them

def replace(part, path):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    os.replace(part, path)

files.os = types.SimpleNamespace(**{**vars(os), "replace": replace})
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_killed_while_it_writes_it_goes_on(people, options, tmp_path, succeeds, child_environment):
    given = {**options, "atlases": people / "atlases.csv", "output": tmp_path / "out"}
    command = command_line("propagate", "--keep", "--no-report", **given)
    died = subprocess.run([sys.executable, "-c", KILLED, *command], env=child_environment)
    assert died.returncode == -signal.SIGKILL
    first, second = (
        set(os.listdir(tmp_path / "out/atlases" / name)) for name in ("other", "first")
    )
    assert first == {"disp.nii.gz", "registration.json"}
    assert len(second) == 1 and second.pop().endswith(".part")
    said = succeeds("propagate", "--keep", "--no-report", **given)
    assert said.out.count("kept") == 1
    assert set(os.listdir(tmp_path / "out/atlases/first")) == first
    succeeds("propagate", "--no-report", **{**given, "output": tmp_path / "whole"})
    whole, resumed = (load_image(tmp_path / n / "labels.nii.gz").data for n in ("whole", "out"))
    np.testing.assert_array_equal(resumed, whole)
