"""Resampling that keeps foreground and background apart."""

import numpy as np
import pytest
from scipy import ndimage

from optreg.affine import resample_foreground
from optreg.grid import Grid
from optreg.image import Image
from optreg.kernels import get_backend
from optreg.transform import Affine, DisplacementField

BACKEND = get_backend("cpu")
GRID = Grid.identity((24, 26, 22))
SHIFT = Affine([[1, 0, 0, 0.4], [0, 1, 0, -0.3], [0, 0, 1, 0.2], [0, 0, 0, 1]])


@pytest.fixture
def ball():
    """A ball of one intensity, 0 outside."""
    apart = np.indices(GRID.shape) - np.array([11.5, 12.5, 10.5]).reshape(3, 1, 1, 1)
    return Image(np.where((apart**2).sum(axis=0) < 64, 7.0, 0.0), GRID, "ball")


def test_no_values_between_object_and_background(ball):
    found = resample_foreground(ball, SHIFT.to_displacement(GRID), BACKEND).data
    assert set(np.unique(np.round(found, 4))) == {0, 7}
    plain = SHIFT.apply(ball, GRID).data
    np.testing.assert_array_equal(found > 0, plain > 3.5)


def test_inside_it_is_cubic_interpolation(ball, rng):
    textured = Image(ball.data * rng.uniform(0.5, 1, GRID.shape), GRID)
    found = resample_foreground(textured, SHIFT.to_displacement(GRID), BACKEND).data
    position = np.indices(GRID.shape) + SHIFT.matrix[:3, 3].reshape(3, 1, 1, 1)
    expected = ndimage.map_coordinates(textured.data, position, order=3)
    deep = ndimage.binary_erosion(ball.data > 0, iterations=5)
    low, high = textured.data[ball.data > 0].min(), textured.data.max()
    expected = np.clip(expected, low, high)[deep]
    assert deep.sum() > 50
    np.testing.assert_allclose(found[deep], expected, atol=0.01)


def test_fine_detail_survives_half_a_voxel():
    """A wave of five voxels: linear interpolation takes a fifth of it, cubic next to nothing."""
    wave = np.broadcast_to(np.sin(2 * np.pi * np.arange(24) / 5)[:, None, None], GRID.shape)
    half = np.eye(4)
    half[0, 3] = 0.5
    field = Affine(half).to_displacement(GRID)
    found = resample_foreground(Image(5 + wave, GRID), field, BACKEND).data[6:-6, 6:-6, 6:-6] - 5
    truth = np.sin(2 * np.pi * (np.arange(24) + 0.5) / 5)[6:-6, None, None]
    linear = Affine(half).apply(Image(5 + wave, GRID), GRID).data[6:-6, 6:-6, 6:-6] - 5
    assert np.abs(found - truth).max() < 0.03 < 0.15 < np.abs(linear - truth).max()


def test_identity_changes_nothing(ball):
    field = DisplacementField.identity(GRID)
    np.testing.assert_allclose(resample_foreground(ball, field, BACKEND).data, ball.data, atol=1e-4)


def test_negative_background_becomes_zero(ball):
    shifted = Image(ball.data - 1000, GRID)
    found = resample_foreground(shifted, SHIFT.to_displacement(GRID), BACKEND).data
    expected = resample_foreground(ball, SHIFT.to_displacement(GRID), BACKEND).data
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_nothing_is_cut_off_by_the_fixed_grid(ball):
    """An object outside the fixed grid comes back whole."""
    far = Affine([[1, 0, 0, 60], [0, 1, 0, -40], [0, 0, 1, 0], [0, 0, 0, 1]])
    away = Image(ball.data, Grid(GRID.shape, far.matrix), "away")
    found = resample_foreground(away, far.to_displacement(GRID), BACKEND)
    np.testing.assert_allclose(found.data, ball.data, atol=1e-3)


def test_voxels_that_meet_keep_their_values(ball, rng):
    """Whatever the grid: rounding alone would move plateaus to another bin of a histogram."""
    textured = Image((ball.data * rng.uniform(0.5, 1, GRID.shape)).astype(np.float32), GRID)
    larger = np.eye(4)
    larger[:3, 3] = -3
    padded = Image(np.pad(textured.data, 3), Grid((30, 32, 28), larger))
    found = resample_foreground(padded, DisplacementField.identity(GRID), BACKEND)
    np.testing.assert_array_equal(found.data, textured.data)


def linear_map(linear):
    """Affine that multiplies positions by a matrix."""
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    return Affine(matrix)


def textured(rng, affine):
    """Foreground everywhere, of values that have nothing to do with those beside them."""
    return Image(rng.uniform(0.5, 1, GRID.shape).astype(np.float32), Grid(GRID.shape, affine))


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.7])
def test_field_that_scales_down_onto_smaller_voxels_loses_nothing(scale, rng):
    """Each voxel of the fixed grid meets one of the moving grid."""
    field = linear_map(scale * np.eye(3))
    image = textured(rng, field.matrix)
    found = resample_foreground(image, field.to_displacement(GRID), BACKEND)
    np.testing.assert_allclose(found.data, image.data, atol=1e-4)


@pytest.mark.parametrize("scale", [2.0, 3.0])
def test_field_that_scales_up_skips_no_detail(scale, rng):
    """As where a grid is coarser: the same positions, and as much smoothed."""
    field, small = linear_map(scale * np.eye(3)), Grid.identity((8, 8, 7))
    image = textured(rng, np.eye(4))
    by_field = resample_foreground(image, field.to_displacement(small), BACKEND).data
    coarse = DisplacementField.identity(Grid(small.shape, field.matrix))
    by_grid = resample_foreground(image, coarse, BACKEND).data
    np.testing.assert_allclose(by_field, by_grid, atol=1e-4)
    assert by_field.std() < 0.5 * image.data.std()


def test_long_voxels_that_a_field_turns_smooth_along_the_axis_they_come_to_lie_on(rng):
    turned = linear_map([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    thick = Grid((12, 14, 6), np.diag([1.0, 1.0, 3.0, 1.0]))
    image = textured(rng, turned.matrix)
    found = resample_foreground(image, turned.to_displacement(thick), BACKEND).data
    straight = Image(image.data, GRID)
    expected = resample_foreground(straight, DisplacementField.identity(thick), BACKEND).data
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("scale", [0.85, 1.15])
def test_field_that_hardly_scales_leaves_the_smoothing_to_the_grids(scale, rng):
    field = linear_map(scale * np.eye(3))
    coarse = Grid((9, 9, 9), np.diag([2.0, 2.0, 2.0, 1.0]))
    image = textured(rng, np.eye(4))
    found = resample_foreground(image, field.to_displacement(coarse), BACKEND).data
    smooth = ndimage.gaussian_filter(image.data, 0.5 * np.sqrt(3), mode="nearest")
    expected = ndimage.map_coordinates(smooth, 2 * scale * np.indices(coarse.shape), order=3)
    inside = (slice(2, -2),) * 3
    np.testing.assert_allclose(found[inside], expected[inside], atol=0.005)
