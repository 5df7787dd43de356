"""Inverse-consistency error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from optreg.errors import InputError
from optreg.metrics import inverse_consistency

SHAPE = (12, 11, 13)


def constant(shift):
    return np.broadcast_to(np.reshape(shift, (3, 1, 1, 1)), (3, *SHAPE)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.floats(-5.0, 5.0, width=32)] * 3))
def test_translation_and_its_inverse(shift):
    shift = np.array(shift, np.float32)
    found = inverse_consistency(constant(shift), constant(-shift))
    assert found.mean_vox == pytest.approx(0.0, abs=1e-5)
    assert found.p99_vox == pytest.approx(0.0, abs=1e-5)


def test_by_hand():
    found = inverse_consistency(constant((3, 0, 0)), constant((0, 0, -4)))
    assert found.mean_vox == pytest.approx(5.0)
    # Everything in the last three planes leaves the grid, where no inverse is known.
    assert found.outside_voxels == 3 * 11 * 13
    everything = inverse_consistency(constant((30, 0, 0)), constant((0, 0, 0)))
    assert np.isnan(everything.mean_vox) and np.isnan(everything.p99_vox)
    assert everything.outside_voxels == 12 * 11 * 13


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_single_slice_has_nothing_beside_it(axis):
    shape = [3, 20, 21, 22]
    shape[1 + axis] = 1
    rng = np.random.default_rng(axis)
    forward = rng.normal(0, 2, shape).astype(np.float32)
    forward[axis] = 0
    memory = np.full((12, *shape[1:]), np.nan, np.float32)
    memory[:3] = 0
    found = inverse_consistency(forward, memory[:3])
    position = np.indices(shape[1:]) + forward
    size = np.reshape(shape[1:], (3, 1, 1, 1))
    reached = ((position >= -0.5) & (position <= size - 0.5)).all(axis=0)
    assert found.outside_voxels == reached.size - reached.sum()
    length = np.linalg.norm(forward, axis=0)[reached]
    assert found.mean_vox == pytest.approx(length.mean(), rel=1e-5)


def test_equals_interpolation_by_scipy_inside_a_mask():
    rng = np.random.default_rng(0)
    forward, backward = (
        ndimage.gaussian_filter(rng.normal(0, 5, (3, *SHAPE)), (0, 2, 2, 2)).astype(np.float32)
        for _ in range(2)
    )
    position = np.indices(SHAPE) + forward.astype(np.float64)
    pulled = np.stack(
        [
            ndimage.map_coordinates(c.astype(np.float64), position, order=1, mode="nearest")
            for c in backward
        ]
    )
    mask = np.zeros(SHAPE)
    mask[3:-3, 3:-3, 3:-3] = 2
    distance = np.linalg.norm(forward + pulled, axis=0)[mask > 0]
    found = inverse_consistency(forward, backward, mask)
    assert found.outside_voxels == 0
    assert found.mean_vox == pytest.approx(distance.mean(), rel=1e-5)
    assert found.p99_vox == pytest.approx(np.percentile(distance, 99), rel=1e-5)


def test_unusable_input_is_refused():
    with pytest.raises(InputError, match="inverse field"):
        inverse_consistency(constant((0, 0, 0)), np.zeros((3, 4, 4, 4)))
    with pytest.raises(InputError, match="inverse field has 1 NaN"):
        bad = constant((0, 0, 0)).copy()
        bad[0, 0, 0, 0] = np.inf
        inverse_consistency(constant((0, 0, 0)), bad)
