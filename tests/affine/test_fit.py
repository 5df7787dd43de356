"""Linear maps from points: exact where there is one, the map of most where some go astray."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from optreg.affine import GROUPS, fit_linear

LINEAR = {
    "translation": np.eye(3),
    "rigid": Rotation.from_rotvec([0.3, -0.2, 0.5]).as_matrix(),
    "similarity": 1.2 * Rotation.from_rotvec([0.3, -0.2, 0.5]).as_matrix(),
    "affine": np.array([[1.1, 0.1, 0], [-0.2, 0.9, 0.1], [0, 0.05, 1.2]]),
}
SHIFT = np.array([12.0, -30, 7])


def cloud(seed, count=400):
    return np.random.default_rng(seed).normal(0, [30, 40, 25], (count, 3)) + np.array(
        [100, -20, 40]
    )


@pytest.mark.parametrize("group", GROUPS)
@given(seed=st.integers(0, 2**32 - 1))
def test_map_of_a_group_is_found(group, seed):
    source = cloud(seed)
    target = source @ LINEAR[group].T + SHIFT
    found = fit_linear(source, target, group, 1.0)
    np.testing.assert_allclose(found[:3, :3], LINEAR[group], atol=1e-7)
    np.testing.assert_allclose(found[:3, 3], SHIFT, atol=1e-5)
    np.testing.assert_array_equal(found[3], [0, 0, 0, 1])


@pytest.mark.parametrize("group", GROUPS)
def test_points_that_go_astray_do_not_count(group):
    source = cloud(1)
    target = source @ LINEAR[group].T + SHIFT
    target[:100] += [8.0, 5, -6]  # a quarter, all the same way
    noise = np.random.default_rng(2).normal(0, 0.1, source.shape)
    found = fit_linear(source, target + noise, group, 0.5)
    left = source @ found[:3, :3].T + found[:3, 3] - target
    assert np.abs(left[100:]).max() < 0.15
    plain = fit_linear(source, target + noise, group, 1e9)
    assert np.abs(source @ plain[:3, :3].T + plain[:3, 3] - target)[100:].max() > 1


def test_smallest_sum_of_weighted_squares_as_scipy():
    rng = np.random.default_rng(3)
    source = cloud(4)
    target = source @ LINEAR["affine"].T + SHIFT + rng.standard_t(1.5, source.shape)

    def cost(matrix):
        left = source @ matrix[:, :3].T + matrix[:, 3] - target
        return np.log1p((left**2).sum(axis=1) / 4).sum()

    def root(values):  # so that the sum of squares is the Cauchy loss of the distances
        left = source @ values.reshape(3, 4)[:, :3].T + values.reshape(3, 4)[:, 3] - target
        return np.sqrt(np.log1p((left**2).sum(axis=1) / 4))

    found = fit_linear(source, target, "affine", 2.0)
    expected = least_squares(root, np.eye(3, 4).ravel(), x_scale="jac", max_nfev=2000)
    assert cost(found[:3]) < 1.001 * cost(expected.x.reshape(3, 4))
