"""Scores of a submission: those of its fields, and the organizers' aggregates."""

from __future__ import annotations

import csv
import json
import shutil
import statistics

import numpy as np
import pytest
import SimpleITK as sitk

from optreg import cli
from optreg.batch.scores import aggregate
from optreg.batch.scoring import Case, score
from optreg.io import load_image, read_field, save_image, write_field
from optreg.io.datasets import ImagePair, read_dataset
from optreg.metrics import evaluate
from optreg.submission import pack
from optreg.transform import DisplacementField

LABELS = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def folder(blobs, smooth_disp, tmp_path_factory):
    """Images, labels, landmarks, an evaluation configuration and fields of three pairs."""
    root = tmp_path_factory.mktemp("data")
    for name in ("imagesVal", "labelsVal", "landmarksVal", "fields"):
        (root / name).mkdir()
    points = np.array([[15, 20, 18], [25, 30, 26], [20, 24, 22]])
    spots = np.zeros(blobs.shape, np.uint8)
    for number, (x, y, z) in enumerate(points, start=1):
        spots[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2] = number
    for i, scale in enumerate((0.0, 0.5, 1.0)):
        field = DisplacementField((scale * smooth_disp).astype(np.float32), blobs.grid)
        image = field.apply(blobs).data
        name = f"X_000{i}_000{int(i == 2)}.nii.gz"
        save_image(root / "imagesVal" / name, image, blobs.grid)
        labels = np.digitize(image, [0.01, 0.35, 0.6]).astype(np.uint8)
        save_image(root / "labelsVal" / name, labels, blobs.grid)
        save_image(root / "landmarksVal" / name, np.roll(spots, i, axis=0), blobs.grid)
        rows = ["name,i_vox,j_vox,k_vox", *(f"P{j},{x + i},{y},{z}" for j, (x, y, z) in
                                            enumerate(points))]  # fmt: skip
        table = root / "landmarksVal" / name.replace(".nii.gz", ".csv")
        table.write_text("\n".join(rows) + "\n")
    pairs = [
        {"fixed": "imagesVal/X_0001_0000.nii.gz", "moving": "imagesVal/X_0000_0000.nii.gz"},
        {"fixed": "imagesVal/X_0000_0000.nii.gz", "moving": "imagesVal/X_0002_0001.nii.gz"},
        {"fixed": "imagesVal/X_0001_0000.nii.gz", "moving": "imagesVal/X_0002_0001.nii.gz"},
    ]
    methods = [
        {"metric": "dice", "name": "DSC", "labels": LABELS},
        {"metric": "ndv", "name": "Non-diffeomorphic Volumes"},
    ]
    content = {"name": "small", "evaluation_methods": methods, "eval_pairs": pairs}
    (root / "config.json").write_text(json.dumps(content))
    for i, pair in enumerate(read_dataset(root / "config.json").pairs):
        disp = ((0.5 - 0.3 * i) * smooth_disp).astype(np.float32)
        write_field(root / "fields" / pair.file_name, disp, blobs.grid)
    return root


def command(folder, fields, *more):
    argv = ["evaluate", "--fields", fields, "--dataset", folder / "config.json"]
    return cli.main([str(a) for a in [*argv, *more]])


@pytest.fixture(scope="module")
def scores(folder, tmp_path_factory):
    """Output folder of the whole command."""
    output = tmp_path_factory.mktemp("out") / "scores"
    more = ["--labels", folder / "labelsVal", "--landmarks", folder / "landmarksVal", "--quiet"]
    assert command(folder, folder / "fields", *more, "--output", output) == 0
    return output


def test_cases_are_those_of_single_fields(folder, scores, smooth_disp):
    content = json.loads((scores / "metrics.json").read_text())
    pairs = read_dataset(folder / "config.json").pairs
    assert [p.group for p in pairs] == ["", "multi-modal", "multi-modal"]
    for i, pair in enumerate(pairs):
        disp = ((0.5 - 0.3 * i) * smooth_disp).astype(np.float32)
        labels, landmarks = (
            [load_image(folder / place / p.name).data for p in (pair.fixed, pair.moving)]
            for place in ("labelsVal", "landmarksVal")
        )
        expected = evaluate(
            disp,
            fixed_labels=labels[0],
            moving_labels=labels[1],
            labels=LABELS,
            fixed_mask=load_image(pair.fixed).data > 0,
            fixed_landmarks=landmarks[0],
            moving_landmarks=landmarks[1],
        )
        found = {metric: values[pair.name] for metric, values in content["cases"].items()}
        assert found["DSC"] == pytest.approx(expected["dice"]["mean"], abs=1e-9)
        assert found["hd95"] == pytest.approx(expected["hd95"]["mean_mm"], abs=1e-9)
        assert found["tre"] == pytest.approx(expected["tre"]["mean_mm"], abs=1e-9)
        assert found["Non-diffeomorphic Volumes"] == expected["folding"]["ndv_percent"]
        assert found["sdlogj"] == pytest.approx(expected["smoothness"]["sdlogj"], abs=1e-9)
        assert 0 < found["tre_points"] < 5


def test_aggregates_of_the_organizers(scores):
    content = json.loads((scores / "metrics.json").read_text())
    values = list(content["cases"]["DSC"].values())
    assert content["name"] == "small" and content["eval_version"].startswith("optreg ")
    assert content["aggregates"]["mean"]["DSC"] == pytest.approx(statistics.mean(values))
    assert content["aggregates"]["std"]["DSC"] == pytest.approx(statistics.stdev(values))
    low, middle, _ = sorted(values)
    # Linear between the ranks: 0.3 of the way through two intervals.
    assert content["aggregates"]["30"]["DSC"] == pytest.approx(low + 0.6 * (middle - low))
    _, middle, high = sorted(content["cases"]["hd95"].values())
    assert content["aggregates"]["30"]["hd95"] == pytest.approx(middle + 0.4 * (high - middle))
    group = content["groups"]["multi-modal"]["mean"]["DSC"]
    assert group == pytest.approx(statistics.mean(values[1:]))


def test_tables(scores):
    with open(scores / "cases.csv", newline="") as file:
        cases = list(csv.DictReader(file))
    with open(scores / "labels.csv", newline="") as file:
        labels = list(csv.DictReader(file))
    content = json.loads((scores / "metrics.json").read_text())
    for row in cases:
        assert float(row["dice"]) == content["cases"]["DSC"][row["pair"]]
        own = [float(r["dice"]) for r in labels if r["pair"] == row["pair"]]
        assert len(own) == len(LABELS)
        assert statistics.mean(own) == pytest.approx(float(row["dice"]))


def test_zip_and_processes_give_the_same(folder, scores, tmp_path, capsys):
    names = [p.name for p in (folder / "fields").iterdir()]
    pack(folder / "fields", names, tmp_path / "fields.zip")
    more = ["--labels", folder / "labelsVal", "--landmarks", folder / "landmarksVal"]
    output = tmp_path / "s"
    assert command(folder, tmp_path / "fields.zip", *more, "--jobs", "2", "--output", output) == 0
    for name in ("metrics.json", "cases.csv", "labels.csv"):
        assert (output / name).read_text() == (scores / name).read_text()
    printed = capsys.readouterr()
    assert "Dice" in printed.out and "worst 30 %" in printed.out and "3/3" in printed.err
    assert command(folder, tmp_path / "fields.zip", "--output", output) == 3
    assert "--overwrite" in capsys.readouterr().err


def test_fields_are_judged_to_be_compared(folder, scores, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    for path in (folder / "fields").iterdir():
        disp = 0.5 * read_field(path).disp
        write_field(
            other / path.name, disp, load_image(folder / "imagesVal/X_0000_0000.nii.gz").grid
        )
    argv = ["compare", f"ours={scores}", f"half of it={other}", "--output", tmp_path / "c"]
    assert cli.main([str(a) for a in argv]) == 2
    assert "fields need --dataset" in capsys.readouterr().err
    argv += ["--dataset", folder / "config.json", "--labels", folder / "labelsVal"]
    assert cli.main([str(a) for a in argv]) == 0
    assert "3 pairs" in capsys.readouterr().out
    own = tmp_path / "c/scores/half_of_it/cases.csv"
    assert command(folder, other, "--labels", folder / "labelsVal", "--output", tmp_path / "s") == 0
    assert own.read_text() == (tmp_path / "s/cases.csv").read_text()
    page = (tmp_path / "c/comparison.html").read_text()
    assert "Pairs in which the methods differ most" in page and "multi-modal (2)" in page


def test_without_labels_there_is_regularity_only(folder, tmp_path):
    assert command(folder, folder / "fields", "--output", tmp_path / "s", "--quiet") == 0
    content = json.loads((tmp_path / "s" / "metrics.json").read_text())
    assert set(content["cases"]) == {
        "Non-diffeomorphic Volumes", "folded_voxels", "sdlogj", "sdlogj_evaluator",
    }  # fmt: skip


@pytest.mark.parametrize(("images", "labels"), [(".nii.gz", ".nii"), (".mha", ".mha")])
def test_names_are_those_of_the_images_whatever_the_format(
    images, labels, folder, scores, tmp_path
):
    endings = {"imagesVal": images, "labelsVal": labels}
    for place, ending in endings.items():
        (tmp_path / place).mkdir()
        for path in (folder / place).iterdir():
            copy = tmp_path / place / path.name.replace(".nii.gz", ending)
            sitk.WriteImage(sitk.ReadImage(str(path)), str(copy))
    rows = ["fixed,moving,name"]
    for pair in read_dataset(folder / "config.json").pairs:
        names = (
            f"imagesVal/{p.name}".replace(".nii.gz", images) for p in (pair.fixed, pair.moving)
        )
        rows.append(",".join([*names, pair.name]))
    (tmp_path / "d.csv").write_text("\n".join(rows) + "\n")
    argv = ["evaluate", "--quiet", "--no-hd95", "--fields", folder / "fields"]
    argv += ["--dataset", tmp_path / "d.csv", "--labels", tmp_path / "labelsVal"]
    assert cli.main([str(a) for a in [*argv, "--output", tmp_path / "s"]]) == 0
    found = json.loads((tmp_path / "s" / "metrics.json").read_text())["cases"]["dice"]
    expected = json.loads((scores / "metrics.json").read_text())["cases"]["DSC"]
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("option", ["labels", "landmarks"])
def test_folder_with_files_of_no_or_of_some_pairs(option, folder, tmp_path, capsys):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "X_9999_0000.nii.gz").write_bytes(b"")
    command_with = ["--no-hd95", f"--{option}", mine, "--output", tmp_path / "s"]
    assert command(folder, folder / "fields", *command_with) == 3
    assert f"error: {mine}: has files for no pair" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
    for number in (0, 1):
        name = f"X_000{number}_0000.nii.gz"
        shutil.copy(folder / f"{option}Val" / name, mine / name)
    assert command(folder, folder / "fields", *command_with) == 0
    assert f"warning: {mine}: has files for 1 of 3 pairs only\n" in capsys.readouterr().err


def test_one_bad_field_does_not_stop_the_others(folder, tmp_path, capsys):
    fields = tmp_path / "fields"
    fields.mkdir()
    for path in (folder / "fields").iterdir():
        (fields / path.name).write_bytes(path.read_bytes())
    bad = sorted(fields.iterdir())[0]
    bad.write_bytes(b"no field")
    output = tmp_path / "s"
    assert command(folder, fields, "--output", output) == 5
    content = json.loads((output / "metrics.json").read_text())
    assert list(content["errors"]) == [bad.name.removesuffix(".nii.gz")]
    assert sum(v is not None for v in content["cases"]["sdlogj"].values()) == 2
    assert f"failed: {bad.name.removesuffix('.nii.gz')}: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fields", "more", "code", "words"),
    [
        ("imagesVal", [], 3, "holds no disp_0000_0000_0002_0001.nii.gz and 1 more"),
        ("fields", ["--labels", "nowhere"], 3, "nowhere: is no folder"),
        ("none", [], 3, "no such file"),
    ],
)
def test_refused_before_any_work(folder, fields, more, code, words, capsys):
    if fields == "imagesVal":
        words = words.replace("disp_0000_0000_0002_0001.nii.gz and 1 more", "disp_")
    assert command(folder, folder / fields, *more) == code
    assert words in capsys.readouterr().err


def test_dataset_is_needed(folder, capsys):
    assert cli.main(["evaluate", "--fields", str(folder)]) == 2
    assert "--dataset" in capsys.readouterr().err


def test_values_that_are_not_finite_do_not_enter_the_means():
    cases = [{"hd95": 1.0}, {"hd95": np.inf}, {"hd95": None}, {}]
    assert aggregate(cases) == {"hd95": {"mean": 1.0, "std": 0.0, "30": 1.0, "n": 1}}


def test_the_challenge_evaluator_gives_the_same(data_dir, tmp_path):
    """Analytic fields over a real label map: see the README of the data."""
    reference = json.loads((data_dir / "reference_metrics.json").read_text())
    name, by_field = next(iter(reference["pairs"].items()))
    images = [f"OASIS_{person}_0000.nii.gz" for person in name.split("_")]
    pair = ImagePair(*(data_dir / "imagesVal" / i for i in images), f"disp_{name}")
    index = np.indices((160, 224, 192), dtype=np.float64)
    expected, settings = by_field["smooth"], reference["fields"]["smooth"]
    p, q, r = (
        2 * np.pi * cycles * i / n
        for cycles, i, n in zip(settings["cycles"], index, index.shape[1:], strict=True)
    )
    a, b, c = settings["amplitude_vox"]
    disp = np.stack(
        [
            a * np.sin(p + 0.3) * np.cos(q) * np.cos(r + 0.1),
            b * np.cos(p) * np.sin(q + 0.5) * np.cos(r),
            c * np.cos(p + 0.2) * np.cos(q) * np.sin(r + 0.7),
        ]
    )
    write_field(tmp_path / pair.file_name, disp.astype(np.float32), None)
    found = {
        mask: score(
            Case(pair, tmp_path, data_dir / "labelsVal", None, tuple(reference["labels"]), mask)
        )
        for mask in ("fixed", "moving")
    }
    assert found["fixed"]["dice"] == pytest.approx(expected["dice"], abs=1e-6)
    assert found["fixed"]["hd95"] == pytest.approx(expected["hd95"], abs=1e-6)
    assert found["fixed"]["sdlogj_evaluator"] == pytest.approx(
        expected["sdlogj_as_evaluator"], abs=1e-6
    )
    for mask, numbers in found.items():
        assert numbers["ndv"] == pytest.approx(expected[f"ndv_percent_mask_{mask}"], abs=1e-6)
