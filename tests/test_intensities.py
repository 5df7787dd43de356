"""What counts as background."""

from __future__ import annotations

import numpy as np
import pytest

from optreg.intensities import find_intensities, foreground


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_foreground_is_above_zero(dtype):
    data = np.zeros((12, 12, 12), dtype)
    data[3:9, 3:9, 3:9] = np.random.default_rng(0).integers(20, 120, (6, 6, 6))
    base, floor, top = find_intensities(data, 99.0)
    assert base == 0 and 0 < floor < 20
    assert top == pytest.approx(np.percentile(data[data > 0], 99))
    many = np.tile(data, (8, 8, 8))
    few = find_intensities(many, sparse=True)
    assert few.top == pytest.approx(top, rel=0.05) and few.base == 0
    assert np.array_equal(foreground(many), many > 0)


@pytest.mark.parametrize("below", [0.0, 1e-16, 0.05])
def test_traces_of_an_interpolation_are_background(below):
    rng = np.random.default_rng(1)
    clean = np.zeros((16, 16, 16))
    clean[4:12, 4:12, 4:12] = rng.uniform(0.2, 1, (8, 8, 8))
    traces = 10.0 ** rng.uniform(-40, -5, clean.shape) - below * rng.random(clean.shape)
    found = find_intensities(np.where(clean > 0, clean, traces))
    assert found.top == pytest.approx(find_intensities(clean).top, rel=1e-12) and found.base == 0
    assert np.array_equal(foreground(np.where(clean > 0, clean, traces)), clean > 0)


def test_far_below_zero_is_the_background():
    hounsfield = np.full((12, 12, 12), -1000.0)
    hounsfield[3:9, 3:9, 3:9] = np.random.default_rng(2).uniform(-100, 1500, (6, 6, 6))
    for shift in (0.0, -2000.0):
        found = find_intensities(hounsfield + shift)
        assert found.base == -1000 + shift
        assert np.array_equal(foreground(hounsfield + shift), hounsfield > -1000)


def test_only_the_region_says_how_bright_it_is():
    data = np.ones((12, 12, 12))
    data[6:] = 5
    assert find_intensities(data, region=data < 2).top == 1
    assert find_intensities(data).top == 5


@pytest.mark.parametrize("low", [-0.35, -1e6])
def test_single_voxels_below_zero_are_no_background(low):
    data = np.zeros((20, 20, 20))
    data[5:15, 5:15, 5:15] = np.random.default_rng(3).uniform(1, 3, (10, 10, 10))
    spoiled = data.copy()
    spoiled[2, 3, 4:9] = low
    assert find_intensities(spoiled) == find_intensities(data)


def test_masks_are_images():
    data = np.zeros((12, 12, 12), bool)
    data[3:9, 3:9, 3:9] = True
    assert np.array_equal(foreground(data), data)
