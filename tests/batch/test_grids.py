"""Images on two grids: a submission leads from voxels to voxels, as those read it who know no more.

The moving image of a pair is stored with fewer voxels around the head, and its header says so.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

import optreg
from optreg import batch, cli
from optreg.batch.scoring import Case, score
from optreg.config import RegistrationConfig
from optreg.grid import Grid
from optreg.image import Image
from optreg.io import load_image, save_image
from optreg.io.datasets import read_dataset
from optreg.io.fields import read_voxels
from optreg.metrics import dice, local_correlation, mean_over_labels
from optreg.transform import DisplacementField

CUTS = {"same shape": (-3, 2, 4), "other shape": (3, 2, 4)}


def cut(image, shift):
    """The image without its first voxels; with as many new ones at the end for a first one < 0."""
    data = image.data[tuple(slice(abs(s), None) for s in shift)]
    if shift[0] < 0:
        data = np.pad(data, [(0, abs(s)) for s in shift])
    affine = image.grid.affine.copy()
    affine[:3, 3] = image.grid.voxel_to_world(np.abs(shift))
    return Image(np.ascontiguousarray(data), Grid(data.shape, affine), image.name)


@pytest.fixture(params=CUTS)
def folder(request, images, tmp_path):
    """A dataset of one pair, its label maps beside."""
    fixed, moving = (load_image(images / f"X_000{i}_0000.nii.gz") for i in (5, 1))
    for image, name in ((fixed, "X_0002"), (cut(moving, CUTS[request.param]), "X_0001")):
        labels = np.digitize(image.data, [0.01, 0.35, 0.6]).astype(np.uint8)
        for kind, data in (("images", image.data), ("labels", labels)):
            (tmp_path / kind).mkdir(exist_ok=True)
            save_image(tmp_path / kind / f"{name}_0000.nii.gz", data, image.grid)
    pair = {f: f"images/X_000{i}_0000.nii.gz" for f, i in (("fixed", 2), ("moving", 1))}
    (tmp_path / "d.json").write_text(json.dumps({"name": "one", "validation": [pair]}))
    return tmp_path


@pytest.fixture
def submitted(folder, images, capsys):
    """The field of the pair, from voxels to voxels."""
    command = ["submit", "--dataset", folder / "d.json", "--config", images / "fast.toml"]
    assert cli.main([str(a) for a in [*command, "--output", folder / "out"]]) == 0
    assert "from voxels to voxels" in capsys.readouterr().err
    return folder / "out" / "submission" / "disp_0002_0001.nii.gz"


def pair_of(folder, kind="images"):
    return [load_image(folder / kind / f"X_000{i}_0000.nii.gz") for i in (2, 1)]


def test_field_leads_from_voxels_to_voxels(folder, submitted, images):
    fixed, moving = pair_of(folder)
    disp = read_voxels(submitted, fixed.grid)
    positions = np.indices(fixed.shape) + disp
    warped = ndimage.map_coordinates(moving.data, positions, order=1)
    expected = optreg.register(
        fixed, moving, config=RegistrationConfig.from_toml(images / "fast.toml"), device="cpu"
    )
    last = np.array(moving.shape).reshape(3, 1, 1, 1) - 1
    head = (fixed.data > 0) & ((positions >= 0) & (positions <= last)).all(axis=0)
    assert np.abs(warped - expected.warped)[head].max() < 1e-3
    before = DisplacementField.identity(fixed.grid, moving.grid).apply(moving).data
    left, apart = (np.abs(image - fixed.data)[head].mean() for image in (warped, before))
    assert left < 0.5 * apart


def test_it_is_judged_so(folder, submitted):
    fixed, moving = pair_of(folder, "labels")
    disp = read_voxels(submitted, fixed.grid)
    warped = ndimage.map_coordinates(moving.data, np.indices(fixed.shape) + disp, order=0)
    pair = read_dataset(folder / "d.json").pairs[0]
    case = Case(pair, submitted.parent, folder / "labels", None, None, "fixed")
    found = score(case)
    expected = mean_over_labels(dice(fixed.data, warped, moving_labels=moving.data))
    assert found["dice"] == pytest.approx(expected, abs=1e-3) and expected > 0.8


def test_similarity_and_landmarks_are_judged_so(folder, submitted):
    """Points of the fixed image and where the field leads to are counterparts, in mm of each."""
    fixed, moving = pair_of(folder)
    disp = read_voxels(submitted, fixed.grid)
    points = np.array([[15, 20, 18], [25, 30, 26], [20, 24, 22]])
    there = points + disp[(slice(None), *points.T)].T
    (folder / "points").mkdir()
    for name, image, voxels in (("X_0002", fixed, points), ("X_0001", moving, there)):
        rows = [",".join(f"{v:.6f}" for v in mm) for mm in image.grid.voxel_to_world(voxels)]
        table = "\n".join(["x_mm,y_mm,z_mm", *rows]) + "\n"
        (folder / "points" / f"{name}_0000.csv").write_text(table)
    pair = read_dataset(folder / "d.json").pairs[0]
    case = Case(pair, submitted.parent, None, folder / "points", None, "fixed", similarity=True)
    found = score(case)
    assert found["tre_points"] < 1e-3
    warped = ndimage.map_coordinates(moving.data, np.indices(fixed.shape) + disp, order=1)
    expected = local_correlation(fixed.data, warped, fixed.data > 0)
    assert found["similarity"] == pytest.approx(expected, abs=0.01)


def test_it_is_a_start(folder, submitted, images):
    """What was written is understood as it was meant."""
    config = RegistrationConfig.from_toml(images / "fast.toml")
    pair = read_dataset(folder / "d.json").pairs[0]
    job = batch.Job(pair, folder / "again", folder / "records", config, submitted.parent, "cpu")
    (folder / "again").mkdir()
    fixed, moving = pair_of(folder)
    field = DisplacementField.between_voxels(
        read_voxels(submitted, fixed.grid), fixed.grid, moving.grid
    )
    expected = optreg.register(
        fixed, moving, config=config, init=field, refine=True, device="cpu"
    ).transform.voxels_of(moving.grid)
    assert batch.register_pair(job)["status"] == "done"
    found = read_voxels(job.output, fixed.grid)
    np.testing.assert_allclose(found, expected, atol=1e-4)
