"""Weights of the images while they are warped."""

from __future__ import annotations

import numpy as np
import pytest

from optreg.continuous.region import Region, build_regions, joint_weights
from optreg.kernels import get_backend

BACKEND = get_backend("cpu")
SHAPE = (16, 12, 8)


def shift(voxels):
    field = np.zeros((3, *SHAPE), np.float32)
    field[0] = voxels
    return field


def step(high=1.0):
    """Known from the eighth plane on."""
    weights = np.zeros(SHAPE, np.float32)
    weights[8:] = high
    return weights


@pytest.mark.parametrize("voxels", [0.0, 1.0, -2.0])
def test_whole_steps_move_the_mask(voxels):
    region = Region(step(), BACKEND)
    expected = np.arange(16) + voxels >= 8
    assert np.array_equal(region.at(shift(voxels))[:, 0, 0] > 0, expected)
    assert np.array_equal(region.at(None), step())


@pytest.mark.parametrize("voxels", [0.4, -0.4])
def test_what_is_partly_unknown_does_not_count(voxels):
    line = Region(step(), BACKEND).at(shift(voxels))[:, 0, 0]
    assert set(line) <= {0.0, 1.0}
    first = np.argmax(line)
    assert np.floor(first + voxels) >= 8  # both planes it comes from are known


def test_weights_are_interpolated():
    ramp = np.broadcast_to(np.linspace(0.1, 1, 16, dtype=np.float32)[:, None, None], SHAPE)
    moved = Region(np.ascontiguousarray(ramp), BACKEND).at(shift(0.5))
    assert np.allclose(moved[:-1], 0.5 * (ramp[:-1] + ramp[1:]), atol=1e-6)


def test_coarse_voxels_count_if_all_of_them_is_known():
    weights = step(0.5)
    weights[8] = 0
    coarse, fine = build_regions(weights, 2, BACKEND)
    known = coarse.at(None)[:, 0, 0]
    assert known.shape == (8,) and not known[:5].any()
    assert np.allclose(known[5:], 0.5)
    assert np.array_equal(fine.at(None), weights)
    assert build_regions(None, 3, BACKEND) == [None] * 3


def test_both_images_have_a_say():
    fixed, moving = Region(step(0.5), BACKEND), Region(step()[::-1].copy(), BACKEND)
    assert joint_weights((None, None), [shift(0)]) is None
    assert np.array_equal(joint_weights((fixed, None), [shift(3)]), step(0.5))
    assert not joint_weights((fixed, moving), [shift(0)]).any()
    # At the midpoint each follows its own field.
    both = joint_weights((fixed, moving), [shift(4), shift(-4)])[:, 0, 0]
    assert np.array_equal(both, 0.5 * ((np.arange(16) >= 4) & (np.arange(16) < 12)))
