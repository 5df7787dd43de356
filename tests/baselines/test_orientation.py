"""Known motions of a synthetic image come back from every method: right sign, axes in order."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

import methods
import optreg
import process
from setup_env import DEFAULT_FOLDER

# No two axes alike, neither in voxels nor in mm, one of them flipped.
SHAPE = (40, 48, 56)
AFFINE = np.diag([-1.2, 1.0, 1.1, 1.0])
AFFINE[:3, 3] = [20, -30, 5]
CENTRE = (np.array(SHAPE, float).reshape(3, 1, 1, 1) - 1) / 2
ANGLE = np.deg2rad(8)
ENVIRONMENTS = Path(os.environ.get("OPTREG_ENVS", DEFAULT_FOLDER))
RUNNABLE = [name for name in methods.NAMES if methods.named(name).script]
# Fewer iterations than for brains, where the full number takes minutes even here.
QUICKER = {
    "ants-syn-tuned": {"iterations": [40, 40, 20, 10]},
    "fireants-greedy": {"iterations": [60, 30, 5]},
    "fireants-syn": {"iterations": [60, 30, 5]},
    "elastix": {"parameters": {"MaximumNumberOfIterations": ["200"]}},
}


def scene(positions):
    """Smooth blobs, symmetric about nothing, at any positions in voxels."""
    rng = np.random.default_rng(5)
    total = np.zeros(positions.shape[1:])
    for _ in range(60):
        centre = CENTRE + (rng.uniform(-0.33, 0.33, 3) * SHAPE).reshape(3, 1, 1, 1)
        width, height = rng.uniform(1.8, 4.5), rng.uniform(0.3, 1)
        distance = ((positions - centre) ** 2).sum(axis=0)
        total += height * np.exp(-distance / (2 * width**2))
    return np.where(total > 0.05, 60 * total, 0).astype(np.float32)


def motion(kind, sign):
    """Displacement of every voxel by a shift, or by a rotation in the plane of the first axes."""
    here = np.indices(SHAPE, float)
    if kind == "translation":
        shift = sign * np.array([2.0, -1.5, 1.0]).reshape(3, 1, 1, 1)
        return np.broadcast_to(shift, here.shape)
    angle = sign * ANGLE
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return np.einsum("ab,bxyz->axyz", turn, here - CENTRE) + CENTRE - here


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["translation", "rotation"])
@pytest.mark.parametrize("name", RUNNABLE)
def test_a_known_motion_comes_back(name, kind, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(optreg.__file__).parents[1]))
    given = dict(QUICKER.get(name, {}))
    if methods.named(name).needs:
        given["binary"] = os.environ.get(f"OPTREG_{name.partition('-')[0].upper()}", "")
    method = methods.named(name, given)
    try:
        python = method.python(ENVIRONMENTS)
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    here = np.indices(SHAPE, float)
    fixed = scene(here)
    moving = scene(here + motion(kind, -1))  # fixed(x) = moving(x + truth(x))
    pair = tmp_path / "fixed.nii.gz", tmp_path / "moving.nii.gz"
    for path, data in zip(pair, (fixed, moving), strict=True):
        nib.save(nib.Nifti1Image(data, AFFINE), path)
    process.call(python, method.script, pair, tmp_path / "out", threads=2, settings=method.settings)
    disp = np.load(tmp_path / "out.npy")
    inside = fixed > 6
    # Smoothing holds a field back, but no wrong sign or axis leaves a third of the truth.
    if kind == "translation":
        share = disp[:, inside].mean(axis=1) / motion(kind, +1)[:, 0, 0, 0]
        assert 0.33 < share.min() and share.max() < 1.5
        return
    slopes = _slopes(disp, inside) / np.sin(ANGLE)
    assert 0.33 < -slopes[0, 1] < 1.5 and 0.33 < slopes[1, 0] < 1.5
    slopes[[0, 1], [1, 0]] = 0
    assert np.abs(slopes).max() < 0.33


def _slopes(disp, inside):
    """How each component (row) grows along each axis (column), by least squares."""
    where = (np.indices(SHAPE, float) - CENTRE)[:, inside]
    columns = np.vstack([where, np.ones(where.shape[1])]).T
    return np.linalg.lstsq(columns, disp[:, inside].T, rcond=None)[0][:3].T


@pytest.mark.parametrize("kind", ["translation", "rotation"])
def test_images_and_truth_belong_together(kind):
    here = np.indices(SHAPE, float)
    fixed, moving = scene(here), scene(here + motion(kind, -1))
    warped = ndimage.map_coordinates(moving, here + motion(kind, +1), order=1, mode="nearest")
    inside = fixed > 6
    before, after = (np.abs(image - fixed)[inside].mean() for image in (moving, warped))
    assert after < 0.1 * before
