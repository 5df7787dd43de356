"""Finite-difference Jacobian determinants: NumPy reference and numba kernels."""

import itertools

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from optreg.kernels.cpu import jacobian as cpu
from optreg.kernels.reference import jacobian as reference

BOTH = pytest.mark.parametrize("kernels", [reference, cpu], ids=["reference", "cpu"])
VOLUMES = ["jacobian_determinant", "jacobian_determinants", "minimum_determinant"]


def linear_field(matrix, shape, dtype=np.float64):
    """Displacement of the map x -> matrix x."""
    moved = np.einsum("ij,jxyz->ixyz", np.asarray(matrix) - np.eye(3), np.indices(shape))
    return moved.astype(dtype)


def tetrahedron(points):
    """Six times the signed volume of a tetrahedron, by the textbook formula."""
    return np.linalg.det(np.column_stack([np.ones(4), np.array(points)]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(7, 5, 6), (2, 2, 2), (3, 9, 4), (1, 4, 5), (12, 3, 17)])
def test_cpu_equals_reference(shape, dtype):
    rng = np.random.default_rng(sum(shape))
    disp = rng.normal(0.0, 1.0, (3, *shape)).astype(dtype)
    for name in VOLUMES:
        expected, found = getattr(reference, name)(disp), getattr(cpu, name)(disp)
        assert found.dtype == expected.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    mask = rng.random(shape) > 0.4
    for chosen in (mask, None):
        expected, found = reference.folding_sums(disp, chosen), cpu.folding_sums(disp, chosen)
        assert found == expected._replace(
            negative_volume=pytest.approx(expected.negative_volume, rel=1e-12)
        )


@BOTH
def test_translation_gives_one_and_two(kernels):
    disp = np.broadcast_to(np.array([1.5, -2.0, 0.25]).reshape(3, 1, 1, 1), (3, 5, 6, 7)).copy()
    ten = kernels.jacobian_determinants(disp)
    inner = ten[:, 1:-1, 1:-1, 1:-1]
    assert (inner[:8] == 1).all() and (inner[8:] == 2).all()
    assert (kernels.minimum_determinant(disp) == 1).all()
    assert (kernels.jacobian_determinant(disp) == 1).all()
    assert kernels.folding_sums(disp) == (3 * 4 * 5, 0.0, 0, 0, 0)


@BOTH
@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.float64, (3, 3), elements=st.floats(-1.5, 1.5)))
def test_linear_map_gives_its_determinant_everywhere(kernels, matrix):
    disp = linear_field(matrix, (4, 5, 3))
    expected = np.linalg.det(matrix)
    np.testing.assert_allclose(kernels.jacobian_determinant(disp), expected, atol=1e-9)
    ten = kernels.jacobian_determinants(disp)
    available = np.isfinite(ten)
    for k, factor in enumerate([1] * 8 + [2] * 2):
        np.testing.assert_allclose(ten[k][available[k]], factor * expected, atol=1e-9)


@BOTH
def test_each_determinant_is_a_tetrahedron(kernels):
    rng = np.random.default_rng(3)
    disp = rng.normal(0.0, 0.7, (3, 3, 3, 3))
    position = disp + np.indices((3, 3, 3))

    def moved(*offset):
        return position[(slice(None), *(1 + o for o in offset))]

    found = kernels.jacobian_determinants(disp)[:, 1, 1, 1]
    for k, (sx, sy, sz) in enumerate(itertools.product((1, -1), repeat=3)):
        points = [moved(0, 0, 0), moved(sx, 0, 0), moved(0, sy, 0), moved(0, 0, sz)]
        assert found[k] == pytest.approx(sx * sy * sz * tetrahedron(points))
    for k, s in ((8, 1), (9, -1)):
        points = [moved(0, 0, 0), moved(s, s, 0), moved(s, 0, s), moved(0, s, s)]
        assert found[k] == pytest.approx(-s * tetrahedron(points))


@BOTH
def test_all_tetrahedra_fill_space_twice(kernels):
    # Whatever happens inside a frame that stays put, the signed volumes must add up.
    rng = np.random.default_rng(5)
    disp = np.zeros((3, 9, 8, 10))
    disp[:, 2:-2, 2:-2, 2:-2] = rng.normal(0.0, 2.0, (3, 5, 4, 6))
    inner = kernels.jacobian_determinants(disp)[:, 1:-1, 1:-1, 1:-1]
    assert inner.sum() / 12.0 == pytest.approx(7 * 6 * 8)
    assert (inner < 0).any()


@BOTH
def test_central_difference_misses_a_fold_that_the_ten_see(kernels):
    disp = np.zeros((3, 7, 7, 7), np.float32)
    disp[0, 3, 3, 3] = 5.0
    assert kernels.jacobian_determinant(disp)[3, 3, 3] == 1
    assert kernels.minimum_determinant(disp)[3, 3, 3] <= 0
    sums = kernels.folding_sums(disp)
    assert sums.negative_volume > 0 and sums.folded_voxels > 0 and sums.folded_tetrahedra > 0


@BOTH
def test_reflection_folds_every_voxel(kernels):
    disp = linear_field(np.diag([-1.0, 1.0, 1.0]), (5, 5, 5))
    assert kernels.folding_sums(disp) == (27, pytest.approx(27.0), 270, 27, 27)


@BOTH
def test_border_leaves_out_what_needs_points_outside(kernels):
    ten = kernels.jacobian_determinants(np.zeros((3, 4, 4, 4)))
    # A corner of the grid has one inward cube; its central tetrahedron counts at two corners.
    assert np.isfinite(ten[:, 0, 0, 0]).sum() == 2
    assert np.isfinite(ten[:, 0, 0, 3]).sum() == 1
    assert np.isfinite(ten[:, 0, 1, 1]).sum() == 5
    assert np.isfinite(ten[:, 1, 1, 1]).all()
    assert (kernels.minimum_determinant(np.zeros((3, 4, 4, 4))) == 1).all()


@BOTH
def test_nan_stays_visible(kernels):
    disp = np.zeros((3, 6, 6, 6), np.float32)
    disp[1, 2, 2, 2] = np.nan
    least = kernels.minimum_determinant(disp)
    assert np.isnan(least[2, 2, 2]) and np.isnan(least[1, 2, 2]) and least[4, 4, 4] == 1
    assert np.isnan(kernels.folding_sums(disp).negative_volume)


@BOTH
def test_outermost_voxels_never_count(kernels):
    mask = np.ones((5, 6, 7), bool)
    mask[1:-1, 1:-1, 1:-1] = False
    disp = np.random.default_rng(0).normal(0, 3, (3, 5, 6, 7))
    assert kernels.folding_sums(disp, mask) == (0, 0.0, 0, 0, 0)


@BOTH
@pytest.mark.parametrize("name", ["jacobian_determinant", "minimum_determinant"])
def test_out_receives_the_result(kernels, name):
    disp = np.random.default_rng(1).normal(0, 0.3, (3, 5, 4, 6)).astype(np.float32)
    out = np.empty((5, 4, 6), np.float32)
    assert getattr(kernels, name)(disp, out=out) is out
    np.testing.assert_array_equal(out, getattr(kernels, name)(disp))


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
def test_results_do_not_depend_on_the_thread_count():
    disp = np.random.default_rng(2).normal(0, 0.6, (3, 31, 17, 23)).astype(np.float32)
    before = numba.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            numba.set_num_threads(threads)
            results.append((cpu.folding_sums(disp), cpu.minimum_determinant(disp)))
    finally:
        numba.set_num_threads(before)
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_strided_and_integer_fields_are_taken():
    disp = np.moveaxis(np.random.default_rng(4).integers(-1, 2, (5, 6, 7, 3)), 3, 0)
    for name in VOLUMES:
        np.testing.assert_allclose(getattr(cpu, name)(disp), getattr(reference, name)(disp))
