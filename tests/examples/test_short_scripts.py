"""The short examples, run as a user runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from scipy import ndimage

from optreg.grid import Grid
from optreg.image import Image
from optreg.io import load_image, save_image
from optreg.transform import DisplacementField

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def run(child_environment, tmp_path):
    """Function that runs an example in an empty folder; gives what it printed."""

    def call(script, *arguments):
        command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=tmp_path, env=child_environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


class Scans(NamedTuple):
    """A folder with two scans of a person and their labels, and what has grown how much."""

    folder: Path
    growth: np.ndarray
    labels: np.ndarray


@pytest.fixture
def scans(blobs, tmp_path):
    """Scans of 1.2 mm voxels; a ball has grown by a fifth, what is around it gave way."""
    grid = Grid(blobs.shape, blobs.grid.affine @ np.diag([1.2, 1.2, 1.2, 1]))
    away = np.indices(grid.shape) - np.array([19.5, 23.5, 21.5]).reshape(3, 1, 1, 1)
    distance = np.sqrt((away**2).sum(axis=0))
    labels = np.where(distance < 9, 2, np.where(blobs.data > 0, 1, 0)).astype(np.uint8)
    # Where the second scan takes its voxels from: nearer to the centre.
    disp = (1.2 ** (-1 / 3) - 1) * away * np.clip((17 - distance) / 8, 0, 1)
    field = DisplacementField(disp.astype(np.float32), grid)
    ball = ndimage.gaussian_filter(0.5 * (labels == 2), 1) * (labels > 0)
    image = Image((blobs.data + ball).astype(np.float32), grid, "first")
    save_image(tmp_path / "first.nii.gz", image.data, grid)
    save_image(tmp_path / "seg.nii.gz", labels, grid)
    save_image(tmp_path / "second.nii.gz", field.apply(image).data, grid)
    save_image(tmp_path / "second_seg.nii.gz", field.apply(Image(labels, grid), "label").data, grid)
    return Scans(tmp_path, field.invert().jacobian(), labels)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["propagate_labels.py", "register_two.py", "volume_change.py"])
def test_help_has_every_option(run, script):
    said = run(script, "--help")
    source = (EXAMPLES / script).read_text(encoding="utf-8")
    options = set(re.findall(r'add_argument\(\s*"(--[a-z]+)"', source))
    assert options and all(option in said for option in options)


@pytest.mark.slow
def test_two_are_registered_and_labels_follow(run, scans):
    arguments = ("first.nii.gz", "second.nii.gz", "second_seg.nii.gz", "--preset", "fast")
    said = run("register_two.py", *arguments)
    assert said.startswith("all levels were optimized\n") and "sdlogj" in said
    found = load_image(scans.folder / "registration/warped_labels.nii.gz").data
    overlap = 2 * ((found == 2) & (scans.labels == 2)).sum()
    assert overlap / ((found == 2).sum() + (scans.labels == 2).sum()) > 0.9


@pytest.mark.parametrize("script", ["propagate_labels.py", "register_two.py", "volume_change.py"])
def test_nothing_given_ends_in_the_usage(script, child_environment, tmp_path):
    command = [sys.executable, str(EXAMPLES / script)]
    done = subprocess.run(
        command, cwd=tmp_path, env=child_environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("usage: "), done.stderr


@pytest.mark.slow
def test_volume_change_finds_what_has_grown(run, scans):
    arguments = ("--labels", "seg.nii.gz", "--init", "translation")
    said = run("volume_change.py", "first.nii.gz", "second.nii.gz", *arguments)
    change = {int(n): float(c) for n, c in re.findall(r"label +(\d+) .* ([+-][\d.]+) %", said)}
    ball = scans.labels == 2
    assert change[2] == pytest.approx(100 * (scans.growth[ball].mean() - 1), abs=4)
    assert change[2] > 13 and abs(change[1]) < 4
    mm3 = float(re.search(r"label +2 +([\d.]+) mm3", said)[1])
    assert mm3 == pytest.approx(ball.sum() * 1.2**3, rel=1e-3)
    log = load_image(scans.folder / "log_jacobian.nii.gz").data
    assert 100 * (np.exp(log)[ball].mean() - 1) == pytest.approx(change[2], abs=0.02)


@pytest.mark.slow
def test_labels_are_propagated_and_volumes_printed(run, scans):
    arguments = ("second.nii.gz", "--atlas", "first.nii.gz", "seg.nii.gz", "--preset", "fast")
    said = run("propagate_labels.py", *arguments)
    found = load_image(scans.folder / "labelled/labels.nii.gz").data
    volumes = {int(n): int(v) for n, v in re.findall(r"label +(\d+) .*\((\d+) voxels", said)}
    assert volumes == {n: (found == n).sum() for n in (1, 2)}
    truth = load_image(scans.folder / "second_seg.nii.gz").data
    overlap = 2 * ((found == 2) & (truth == 2)).sum() / ((found == 2).sum() + (truth == 2).sum())
    assert overlap > 0.9
    assert run("propagate_labels.py", *arguments) == said
