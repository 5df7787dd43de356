import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from optreg.transform.sampling import (
    affine_displacement,
    map_field,
    outside,
    warp_labels_linear,
)


def positions(disp):
    return np.indices(disp.shape[1:]) + disp.astype(float)


def random_matrix(rng):
    matrix = np.eye(4)
    matrix[:3, :3] += rng.normal(0, 0.2, (3, 3))
    matrix[:3, 3] = rng.normal(0, 20, 3)
    return matrix


def test_affine_displacement_moves_every_voxel_as_the_matrix_does(rng):
    matrix, shape = random_matrix(rng), (200, 6, 150)
    grid = np.indices(shape).astype(float)
    expected = np.einsum("ij,j...->i...", matrix[:3, :3], grid) + matrix[:3, 3, None, None, None]
    assert_allclose(affine_displacement(matrix, shape), expected - grid, rtol=2e-7, atol=1e-6)


def test_identity_matrix_moves_nothing_at_all():
    assert not affine_displacement(np.eye(4), (50, 60, 70)).any()


def test_map_field_follows_the_field_by_the_matrix(rng):
    matrix = random_matrix(rng)
    disp = rng.normal(0, 3, (3, 9, 10, 11)).astype(np.float32)
    moved = np.einsum("ij,j...->i...", matrix[:3, :3], positions(disp))
    expected = moved + matrix[:3, 3, None, None, None] - np.indices(disp.shape[1:])
    assert_allclose(map_field(matrix, disp), expected, atol=1e-5)


@given(st.tuples(*[st.integers(1, 12)] * 3), st.integers(0, 2**31))
def test_outside_is_beyond_the_outer_faces(shape, seed):
    disp = np.random.default_rng(seed).normal(0, 4, (3, 7, 8, 9)).astype(np.float32)
    where = positions(disp)
    limits = np.array(shape).reshape(3, 1, 1, 1) - 0.5
    expected = ((where < -0.5) | (where > limits)).any(axis=0)
    assert_array_equal(outside(disp, shape), expected)


def test_half_a_voxel_over_the_edge_is_still_inside():
    disp = np.zeros((3, 4, 4, 4), np.float32)
    disp[0] = 0.499
    assert not outside(disp, (4, 4, 4)).any()
    disp[0] = 0.501
    assert_array_equal(outside(disp, (4, 4, 4))[:, 0, 0], [False, False, False, True])


@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.integers(1, 6),
    st.sampled_from([np.uint8, np.int32, np.float32]),
    st.integers(0, 2**31),
)
def test_label_vote_is_the_argmax_of_warped_one_hot_volumes(shape, count, dtype, seed):
    rng = np.random.default_rng(seed)
    values = np.sort(rng.choice(200, count, replace=False))
    labels = rng.choice(values, shape).astype(dtype)
    disp = rng.normal(0, 2, (3, 6, 7, 5)).astype(np.float32)
    one_hot = np.stack(
        [
            ndimage.map_coordinates((labels == v).astype(float), positions(disp), order=1,
                                    mode="nearest")
            for v in values
        ]
    )  # fmt: skip
    picked = warp_labels_linear(labels, disp)
    assert picked.dtype == dtype
    share = np.take_along_axis(one_hot, np.searchsorted(values, picked)[None], axis=0)[0]
    # Not the label itself: two shares may be equal up to rounding.
    assert_allclose(share, one_hot.max(axis=0), atol=1e-9)


def test_ties_go_to_the_smaller_label():
    labels = np.repeat(np.array([7, 3, 9], np.uint8), 4).reshape(3, 2, 2)
    disp = np.zeros((3, 2, 2, 2), np.float32)
    disp[0] = 0.5
    assert_array_equal(warp_labels_linear(labels, disp)[:, 0, 0], [3, 3])


def test_slabs_do_not_show(rng, monkeypatch):
    labels = rng.integers(0, 4, (20, 9, 9)).astype(np.int16)
    disp = rng.normal(0, 1, (3, 20, 9, 9)).astype(np.float32)
    whole = warp_labels_linear(labels, disp)
    monkeypatch.setattr("optreg.transform.sampling._SLAB_VOXELS", 200)
    assert_array_equal(warp_labels_linear(labels, disp), whole)


@pytest.mark.parametrize("value", [2**40 + 1, -3])
def test_huge_and_negative_labels_survive(value):
    labels = np.full((4, 4, 4), value, np.int64)
    assert_array_equal(warp_labels_linear(labels, np.zeros((3, 4, 4, 4), np.float32)), labels)
