"""Lists of pairs: what is read, how fields are named, and that every problem is told at once."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from optreg.grid import Grid
from optreg.io import save_image
from optreg.io.datasets import DatasetError, read_dataset

SHAPE = (8, 9, 10)


@pytest.fixture
def folder(tmp_path):
    """Images of four people, one with a second contrast."""
    (tmp_path / "imagesVal").mkdir()
    for name in ("0001_0000", "0002_0000", "0003_0001", "0003_0002"):
        image = np.ones(SHAPE, np.uint8)
        save_image(tmp_path / "imagesVal" / f"X_{name}.nii.gz", image, Grid.identity(SHAPE))
    return tmp_path


def entry(fixed, moving, **more):
    names = (f"./imagesVal/X_{n}.nii.gz" for n in (fixed, moving))
    return {**dict(zip(("fixed", "moving"), names, strict=True)), **more}


def write(folder, content, name="d.json"):
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / name


def problems(path, **options):
    with pytest.raises(DatasetError) as error:
        read_dataset(path, **options)
    assert "\n" not in str(error.value) and str(error.value).startswith(f"{path}: ")
    return error.value.problems


def test_dataset_of_the_challenge(folder):
    pairs = [
        entry("0001_0000", "0002_0000"),
        entry("0001_0000", "0003_0001"),
        entry("0001_0000", "0003_0002"),
    ]
    content = {"name": "LUMIR", "tensorImageShape": {"0": SHAPE}, "validation": pairs, "test": []}
    dataset = read_dataset(write(folder, content))
    assert dataset.name == "LUMIR" and dataset.shape == SHAPE and dataset.labels is None
    assert [p.file_name for p in dataset.pairs] == [
        "disp_0001_0002.nii.gz",
        "disp_0001_0003.nii.gz",
        "disp_0001_0000_0003_0002.nii.gz",
    ]
    assert dataset.pairs[0].moving == folder / "imagesVal" / "X_0002_0000.nii.gz"
    assert problems(folder / "d.json", split="test") == ("no pairs",)


def test_evaluation_configuration(folder, tmp_path):
    content = {
        "evaluation_methods": [{"metric": "ndv"}, {"metric": "dice", "labels": [0, 4, 11]}],
        "expected_shape": [*SHAPE, 3],
        "eval_pairs": [entry("0001_0000", "0002_0000")],
    }
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    dataset = read_dataset(write(elsewhere, content), folder)
    assert dataset.labels == (0, 4, 11) and dataset.shape == SHAPE and dataset.name == "d"


def test_table(folder):
    text = "fixed, moving, name\nimagesVal/X_0001_0000.nii.gz, imagesVal/X_0002_0000.nii.gz, a-b\n"
    assert [p.name for p in read_dataset(write(folder, text, "p.csv")).pairs] == ["a-b"]
    for suffix in "ab":
        image = np.zeros(SHAPE, np.float32)
        save_image(folder / f"scan_{suffix}.nii", image, Grid.identity(SHAPE))
    dataset = read_dataset(write(folder, "fixed,moving\nscan_a.nii,scan_b.nii\n", "q.csv"))
    assert dataset.pairs[0].file_name == "disp_scan_a_scan_b.nii.gz" and dataset.shape is None


def test_the_real_one(data_dir):
    dataset = read_dataset(data_dir / "dataset.json")
    assert len(dataset.pairs) == 31 and dataset.shape == (160, 224, 192)
    assert dataset.pairs[0].name == "disp_1001_1000"
    assert len(read_dataset(data_dir / "evaluation_segmentation.json").labels) == 133


def test_everything_that_is_wrong_is_told(folder):
    (folder / "imagesVal" / "X_0009_0000.nii.gz").write_bytes(b"no image")
    (folder / "outside.nii.gz").write_bytes(b"x")
    (folder / "imagesVal" / "X_0008_0000.nii.gz").symlink_to("/etc/hostname")
    other = np.ones((8, 9, 11), np.uint8)
    save_image(folder / "imagesVal" / "X_0007_0000.nii.gz", other, Grid.identity(other.shape))
    pairs = [
        entry("0001_0000", "0002_0000"),
        entry("0001_0000", "0002_0000"),
        {"fixed": "a"},
        {"fixed": "../outside.nii.gz", "moving": "/etc/passwd"},
        entry("0001_0000", "0008_0000"),
        entry("0001_0000", "0009_0000"),
        entry("0001_0000", "0006_0000"),
        entry("0001_0000", "0007_0000"),
        entry("0001_0000", "0002_0000", name="../../x"),
    ]
    content = {"tensorImageShape": {"0": SHAPE}, "validation": pairs}
    found = problems(write(folder, content))
    expected = [
        "pair 3: needs 'fixed' and 'moving'",
        "pair 4: '../outside.nii.gz' leads out of",
        "pair 5: './imagesVal/X_0008_0000.nii.gz' is a link that leads out of",
        "pair 9: name '../../x' is no file name",
        "2 pairs would be written to disp_0001_0002.nii.gz",
        "X_0009_0000.nii.gz: is not a NIfTI file",
        "X_0006_0000.nii.gz: no such file",
        "X_0007_0000.nii.gz: shape (8, 9, 11), but the list states (8, 9, 10)",
    ]
    assert len(found) == len(expected)
    for problem, words in zip(found, expected, strict=True):
        assert words in problem


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("d.json", "{", "is no JSON"),
        ("d.json", [1], "holds no dataset"),
        ("d.json", {"training": [], "a": 1}, "no list 'validation'; there are: training"),
        ("d.json", "[" * 100_000, "is no JSON"),
        ("d.json", {"validation": [], "tensorImageShape": {"0": "abc"}}, "shape, labels or"),
        ("d.json", {"validation": [], "tensorImageShape": [8, 9, 10]}, "shape, labels or"),
        ("d.json", {"validation": [], "expected_shape": [8, math.inf, 10]}, "shape, labels or"),
        ("d.json", {"validation": [], "evaluation_methods": 7}, "shape, labels or"),
        ("d.json", {"validation": []}, "no pairs"),
        ("d.csv", "a,b\n1,2\n", "no column fixed, moving"),
        ("d.csv", "fixed,moving\nx.nii\n", "pair 1: 'None' is no file name"),
    ],
)
def test_lists_that_are_none(folder, name, content, words):
    assert words in problems(write(folder, content, name))[0]


def test_folder_of_images_that_is_not_there(folder):
    path = write(folder, {"validation": []})
    assert "is not a folder" in problems(path, images=folder / "none")[0]


def test_names_with_backslashes_and_drives(folder):
    pairs = [{"fixed": r"imagesVal\X_0001_0000.nii.gz", "moving": r"C:\x.nii"}]
    (found,) = problems(write(folder, {"validation": pairs}))
    assert "leads out" in found and Path(folder).name in found


def test_split_that_would_not_be_used_is_said(folder):
    pair = entry("0001_0000", "0002_0000")
    (said,) = problems(write(folder, "fixed,moving\na,b\n", "s.csv"), split="test")
    assert "has no list 'test'" in said
    path = write(folder, {"eval_pairs": [pair]})
    assert len(read_dataset(path).pairs) == 1
    assert problems(path, split="test") == ("has no list 'test'; there are: eval_pairs",)
