"""Inverse on the moving grid, of fields that contain an affine."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from optreg.grid import Grid
from optreg.transform import Affine, DisplacementField, invert_onto
from optreg.transform.inverse import affine_part


def affine(angle, shift=(60.0, -45.0, 30.0)):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [angle, -angle, angle]).as_matrix() * [1.2, 0.9, 1]
    matrix[:3, 3] = shift
    return Affine(matrix)


@given(st.floats(-1, 1))
def test_affine_part_of_an_affine_is_that_affine(angle):
    grid = Grid((9, 12, 10), np.diag([1.5, -2, 1, 1]))
    found = affine_part(affine(angle).to_displacement(grid))
    assert_allclose(found.matrix, affine(angle).matrix, atol=1e-4)


@pytest.fixture
def far_away(blobs, smooth_disp):
    """A deformation followed by an affine into a place that the fixed image does not reach."""
    there = affine(0.4)
    field = DisplacementField(smooth_disp, blobs.grid)
    joined = there.to_displacement(blobs.grid).compose(field)
    place = there.matrix @ blobs.grid.affine @ np.diag([1.3, 1.3, 1.3, 1])
    return joined, Grid((31, 37, 34), place)


def test_inverse_undoes_a_field_with_an_affine_in_it(far_away, blobs):
    field, moving_grid = far_away
    inverse = invert_onto(field, moving_grid)
    assert inverse.fixed_grid is moving_grid
    assert inverse.source_grid is blobs.grid
    points = blobs.grid.voxel_to_world(
        np.stack(np.meshgrid([8, 20, 30], [9, 24, 38], [8, 22, 36], indexing="ij")).reshape(3, -1).T
    )
    assert_allclose(inverse.to_points_mm(field.to_points_mm(points)), points, atol=0.05)


def test_search_without_the_affine_part_would_fail(far_away, blobs):
    field, moving_grid = far_away
    plain = field.invert().resample_to(moving_grid)
    points = blobs.grid.voxel_to_world([[8.0, 9, 8], [20, 24, 22], [30, 38, 36]])
    error = np.abs(plain.to_points_mm(field.to_points_mm(points)) - points).max()
    assert error > 1


def test_same_grid_gives_the_plain_inverse(blobs, smooth_disp):
    field = DisplacementField(smooth_disp, blobs.grid)
    same = Grid(blobs.shape, blobs.grid.affine.copy())
    assert np.array_equal(invert_onto(field, same).disp, field.invert().disp)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_inverse_of_a_slice_on_another_one(axis):
    shape = [30, 32, 34]
    shape[axis] = 1
    affine = np.eye(4)
    affine[:3, 3] = [0.5, -0.5, 0.25] * (np.array(shape) > 1)
    fixed, moving = Grid(tuple(shape), np.eye(4)), Grid(tuple(shape), affine)
    disp = np.zeros((3, *shape), np.float32)
    disp[axis - 1] = 1.5
    there = DisplacementField(disp, fixed, moving)
    back = invert_onto(there, moving)
    middle = (np.array([shape]) - 1) / 2
    assert_allclose(back.to_points_mm(there.to_points_mm(middle)), middle, atol=1e-3)
