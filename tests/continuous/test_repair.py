"""Fold repair of a field and its inverse, and the correction of the inverse between its voxels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from optreg.config import RepairConfig
from optreg.continuous.repair import repair_folds, repair_pair, tighten_inverse
from optreg.kernels import cpu, get_backend

BACKEND = get_backend("cpu")
SHAPE = (40, 44, 36)


def noise(seed, amplitude, sigma=3.0):
    field = np.random.default_rng(seed).standard_normal((3, *SHAPE))
    field = ndimage.gaussian_filter(field, (0, sigma, sigma, sigma))
    return (amplitude * field / np.abs(field).max()).astype(np.float32)


def error(forward, inverse):
    """Distance by which a voxel misses itself there and back, by SciPy."""
    index = np.indices(SHAPE)
    there = index + forward
    back = [ndimage.map_coordinates(c, there, order=1, mode="nearest") for c in inverse]
    return np.linalg.norm(forward + np.stack(back), axis=0)[4:-4, 4:-4, 4:-4]


def planted():
    """One large fold."""
    disp = noise(1, 1.5)
    disp[0, 18:22, 20:24, 16:20] += 5
    return disp


def rough():
    """Many small folds everywhere."""
    return noise(1, 1.5) + noise(2, 3.2, 1.2)


@pytest.mark.parametrize(("damaged", "most"), [(planted(), 0.01), (rough(), 0.225)])
def test_neither_direction_folds_and_both_stay_inverse(damaged, most):
    forward, inverse = damaged.copy(), cpu.invert(damaged)
    for field in (forward, inverse):
        assert cpu.folding_sums(field).folded_voxels > 0
    changed = repair_pair(forward, inverse, RepairConfig(), BACKEND)
    assert 0 < changed < most * forward[0].size
    assert changed >= (forward != damaged).any(axis=0).sum() > 0
    for field in (forward, inverse):
        assert cpu.minimum_determinant(field).min() > 0
        assert cpu.folding_sums(field).folded_voxels == 0
    # At its own voxels the inverse is one: what is left is interpolation.
    assert np.percentile(np.linalg.norm(cpu.compose(forward, inverse), axis=0), 99) < 0.02


def test_a_sound_pair_is_left_alone():
    forward = noise(3, 1.0)
    inverse = cpu.invert(forward)
    before = forward.copy(), inverse.copy()
    settings = replace(RepairConfig(), largest_error_vox=0.0)
    assert repair_pair(forward, inverse, settings, BACKEND) == 0
    assert np.array_equal(forward, before[0]) and np.array_equal(inverse, before[1])


def test_tightening_lowers_the_error_without_a_fold():
    forward = noise(4, 2.5, 2.0)
    inverse = cpu.invert(forward)
    repair_pair(forward, inverse, RepairConfig(), BACKEND)
    before = error(forward, inverse)
    tighten_inverse(forward, inverse, RepairConfig(), BACKEND)
    after = error(forward, inverse)
    assert after.mean() < 0.7 * before.mean()
    assert np.percentile(after, 99) < np.percentile(before, 99)
    assert cpu.minimum_determinant(inverse).min() > 0


def test_single_field_repair_is_local():
    disp = noise(5, 1.5)
    disp[0, 18:22, 20:24, 16:20] += 5
    untouched = disp.copy()
    assert cpu.folding_sums(disp).folded_voxels > 0
    changed = repair_folds(disp, RepairConfig(), BACKEND)
    assert cpu.minimum_determinant(disp).min() > 0
    assert 0 < changed < 0.05 * disp[0].size
    assert np.array_equal(disp[:, :8], untouched[:, :8])


def test_hopeless_field_is_smoothed_as_a_whole():
    disp = (4 * np.random.default_rng(0).standard_normal((3, 14, 12, 13))).astype(np.float32)
    assert repair_folds(disp, RepairConfig(max_rounds=1), BACKEND) == disp[0].size
    assert cpu.minimum_determinant(disp).min() > 0


def scaled(disp, scale):
    """A field followed by scaling about the centre of the grid."""
    centre = (np.array(SHAPE) - 1).reshape(3, 1, 1, 1) / 2
    there = np.indices(SHAPE) + disp
    return (centre + scale * (there - centre) - np.indices(SHAPE)).astype(np.float32)


@pytest.mark.parametrize("scale", [0.2, 0.24])
def test_scaling_is_no_fold(scale):
    forward = scaled(noise(3, 1.0), scale)
    assert cpu.minimum_determinant(forward).max() < RepairConfig().threshold
    inverse, before = cpu.invert(forward), forward.copy()
    settings = replace(RepairConfig(), largest_error_vox=0.0)
    assert repair_pair(forward, inverse, settings, BACKEND, scale**3) == 0
    assert repair_folds(forward, settings, BACKEND, scale**3) == 0
    np.testing.assert_array_equal(forward, before)


@pytest.mark.parametrize("scale", [4.0, 5.0])
def test_scaling_is_no_fold_of_the_inverse_either(scale):
    forward = scaled(noise(3, 1.0), scale)
    inverse = cpu.invert(forward)
    assert 0 < cpu.minimum_determinant(inverse).min() < RepairConfig().threshold
    before = forward.copy(), inverse.copy()
    settings = replace(RepairConfig(), largest_error_vox=0.0)
    assert repair_pair(forward, inverse, settings, BACKEND, scale**3) == 0
    np.testing.assert_array_equal(forward, before[0])
    np.testing.assert_array_equal(inverse, before[1])


def test_the_inverse_of_scaling_is_tightened_too():
    forward = scaled(noise(4, 1.5, 2.0), 4.0)
    inverse = cpu.invert(forward)
    landed = np.indices(SHAPE) + forward
    ends = np.array(SHAPE).reshape(3, 1, 1, 1) - 6
    met = ((landed > 5) & (landed < ends)).all(axis=0)[4:-4, 4:-4, 4:-4]
    before = error(forward, inverse)[met].mean()
    tighten_inverse(forward, inverse, RepairConfig(), BACKEND, 4.0**3)
    assert error(forward, inverse)[met].mean() < 0.7 * before
    assert cpu.minimum_determinant(inverse).min() > 0


# The fold is 5 voxels deep in the one image, and 1 or 20 of the 40 in the other.
@pytest.mark.parametrize(("scale", "most"), [(0.2, 0.01), (4.0, 0.2)])
def test_folds_of_a_scaled_field_are_removed_and_little_else(scale, most):
    forward = scaled(planted(), scale)
    inverse = cpu.invert(forward)
    assert cpu.folding_sums(forward).folded_voxels > 0
    settings = replace(RepairConfig(), largest_error_vox=0.0)
    changed = repair_pair(forward, inverse, settings, BACKEND, scale**3)
    assert 0 < changed < most * forward[0].size
    for field in (forward, inverse):
        assert cpu.minimum_determinant(field).min() > 0
        assert cpu.folding_sums(field).folded_voxels == 0


@pytest.mark.parametrize("volume", [0.5, 2.0])
def test_ordinary_changes_of_volume_make_no_difference(volume):
    pairs = []
    for given in ((), (volume,)):
        forward, inverse = rough(), cpu.invert(rough())
        repair_pair(forward, inverse, RepairConfig(), BACKEND, *given)
        tighten_inverse(forward, inverse, RepairConfig(), BACKEND, *given)
        pairs.append((forward, inverse))
    np.testing.assert_array_equal(*pairs)
