"""The demonstration pair: its truth is true, invertible and reproducible."""

import sys
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from optreg.demo import TISSUES, make_pair, true_error_mm
from optreg.errors import ConfigError

pytest.importorskip("nilearn")

FACTOR = 3


@cache
def made(seed):
    """Making one takes seconds."""
    return make_pair(factor=FACTOR, seed=seed)


@pytest.fixture(scope="module")
def pair():
    return made(0)


def _warped(volume, disp, order):
    return ndimage.map_coordinates(
        volume, np.indices(disp.shape[1:]) + disp, order=order, mode="nearest"
    )


def _dice(a, b, label):
    return 2 * np.sum((a == label) & (b == label)) / (np.sum(a == label) + np.sum(b == label))


def test_truth_carries_the_moving_labels_onto_the_fixed_ones(pair):
    warped = _warped(pair.moving_labels.data, pair.truth, order=0)
    assert _dice(pair.fixed_labels.data, warped, 3) > 0.88
    for label in TISSUES:
        start = _dice(pair.fixed_labels.data, pair.moving_labels.data, label)
        assert _dice(pair.fixed_labels.data, warped, label) > start + 0.1


def test_opposite_direction_is_not_the_truth(pair):
    # The sign and the order of the arguments are what a convention gets wrong.
    right = _warped(pair.moving_labels.data, pair.truth, order=0) == pair.fixed_labels.data
    wrong = _warped(pair.moving_labels.data, -pair.truth, order=0) == pair.fixed_labels.data
    assert right.mean() > wrong.mean() + 0.05


def test_truth_relates_the_intensities(pair):
    inside = ndimage.binary_erosion(pair.fixed_labels.data > 0, iterations=2)
    warped = _warped(pair.moving.data, pair.truth, order=1)

    def correlation(image):
        return np.corrcoef(image[inside], pair.fixed.data[inside])[0, 1]

    assert correlation(warped) > max(0.8, correlation(pair.moving.data) + 0.15)


@pytest.mark.parametrize("seed", [0, 1])
def test_truth_is_invertible(seed):
    truth = made(seed).truth
    gradient = np.stack([np.stack(np.gradient(part)) for part in truth])
    jacobian = np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(3)
    assert np.linalg.det(jacobian).min() > 0.2


def test_displacement_has_the_length_asked_for():
    pair = make_pair(factor=4, largest_mm=6.0)
    longest = np.sqrt(((pair.truth * 4.0) ** 2).sum(axis=0)).max()
    assert longest == pytest.approx(6.0, rel=0.05)


def test_no_displacement_leaves_the_labels_alone():
    pair = make_pair(factor=4, largest_mm=0.0)
    assert not pair.truth.any()
    np.testing.assert_array_equal(pair.fixed_labels.data, pair.moving_labels.data)


def test_error_of_the_truth_is_zero_and_of_nothing_its_length(pair):
    assert true_error_mm(pair, pair.truth) == {"mean_mm": 0, "p95_mm": 0, "max_mm": 0}
    brain = pair.fixed_labels.data > 0
    length = np.linalg.norm(pair.truth[:, brain] * FACTOR, axis=0)
    assert true_error_mm(pair)["mean_mm"] == pytest.approx(length.mean(), rel=1e-5)
    assert true_error_mm(pair)["max_mm"] == pytest.approx(length.max(), rel=1e-5)


def test_equal_seeds_give_equal_pairs_and_others_do_not(pair):
    again, other = make_pair(factor=FACTOR), made(1)
    for name in ("fixed", "moving", "fixed_labels", "moving_labels"):
        np.testing.assert_array_equal(getattr(pair, name).data, getattr(again, name).data)
    np.testing.assert_array_equal(pair.truth, again.truth)
    assert np.abs(pair.truth - other.truth).max() > 0.5


def test_images_are_skull_stripped_and_on_one_grid(pair):
    for image, labels in ((pair.fixed, pair.fixed_labels), (pair.moving, pair.moving_labels)):
        assert image.grid is pair.fixed.grid
        assert image.data.dtype == np.float32 and image.data.min() == 0
        assert not image.data[labels.data == 0].any()
        assert set(np.unique(labels.data)) == {0, *TISSUES}
    np.testing.assert_allclose(pair.fixed.grid.spacing, FACTOR)
    # The anterior commissure is the origin of the template: inside the brain.
    centre = np.rint(pair.fixed.grid.world_to_voxel([0.0, 0.0, 0.0])).astype(int)
    assert pair.moving_labels.data[tuple(centre)] > 0


@pytest.mark.parametrize("wrong", [{"factor": 0}, {"largest_mm": -1.0}, {"largest_mm": 50.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        make_pair(**wrong)


def test_without_nilearn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn", None)
    with pytest.raises(ConfigError, match=r"optreg\[demo\]"):
        make_pair()
