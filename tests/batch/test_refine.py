"""``optreg refine``: what it starts from is left alone, and what goes wrong is said."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from commands import command_line

from optreg import cli
from optreg.batch.records import file_hash
from optreg.io import load_image, save_image

NAME = "disp_0003_0001"


def refine(images, init, output, *more, **options):
    given = {"dataset": images / "d.json", "config": images / "fast.toml", "device": "cpu"}
    given |= {"init": init, "output": output}
    return cli.main(command_line("refine", *more, **given, **options))


@pytest.fixture
def labels(images, tmp_path):
    """Label maps of the images."""
    folder = tmp_path / "labels"
    folder.mkdir()
    for path in images.glob("X_*.nii.gz"):
        image = load_image(path)
        save_image(folder / path.name, np.digitize(image.data, [0.01, 0.5]), image.grid)
    return folder


@pytest.mark.parametrize("start", ["submission", "submission.zip"])
def test_fields_are_not_refined_in_place(images, undisturbed, tmp_path, capsys, start):
    output = shutil.copytree(undisturbed, tmp_path / "out")
    before = {p: file_hash(p) for p in output.rglob("*") if p.is_file()}
    assert refine(images, output / "records" / ".." / start, output) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "would be overwritten; choose another output" in error
    assert {p: file_hash(p) for p in output.rglob("*") if p.is_file()} == before


def test_why_pairs_are_not_judged(images, undisturbed, labels, tmp_path, capsys):
    broken = labels / "X_0003_0000.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-300])
    start, output = undisturbed / "submission.zip", tmp_path / "refined"
    assert refine(images, start, output, "--no-hd95", labels=labels) == 5
    printed = capsys.readouterr().out
    (failed,) = [line for line in printed.splitlines() if line.startswith("failed: ")]
    assert failed.startswith(f"failed: {NAME}: ") and "file damaged" in failed
    assert "Dice" in printed
    for path in labels.iterdir():
        path.write_bytes(broken.read_bytes())
    assert refine(images, start, output, "--no-hd95", labels=labels) == 3
    done = capsys.readouterr()
    assert done.out.count("failed: ") == 4 and "no case that could be judged" in done.err


def test_why_pairs_are_not_refined(images, undisturbed, tmp_path, capsys):
    damaged = shutil.copytree(undisturbed / "submission", tmp_path / "start")
    field = damaged / f"{NAME}.nii.gz"
    field.write_bytes(field.read_bytes()[:-300])
    assert refine(images, damaged, tmp_path / "refined") == 5
    printed = capsys.readouterr().out
    assert f"failed: {NAME}: " in printed and "3 of 4 pairs done, 1 failed" in printed
