"""Resampling that keeps foreground and background apart."""

import numpy as np
import pytest
from scipy import ndimage

from optreg.affine import resample_foreground
from optreg.grid import Grid
from optreg.image import Image
from optreg.transform import Affine, DisplacementField

GRID = Grid.identity((24, 26, 22))
SHIFT = Affine([[1, 0, 0, 0.4], [0, 1, 0, -0.3], [0, 0, 1, 0.2], [0, 0, 0, 1]])


@pytest.fixture
def ball():
    """A ball of one intensity, 0 outside."""
    apart = np.indices(GRID.shape) - np.array([11.5, 12.5, 10.5]).reshape(3, 1, 1, 1)
    return Image(np.where((apart**2).sum(axis=0) < 64, 7.0, 0.0), GRID, "ball")


def test_no_values_between_object_and_background(ball):
    found = resample_foreground(ball, SHIFT.to_displacement(GRID)).data
    assert set(np.unique(np.round(found, 4))) == {0, 7}
    plain = SHIFT.apply(ball, GRID).data
    np.testing.assert_array_equal(found > 0, plain > 3.5)


def test_inside_it_is_linear_interpolation(ball, rng):
    textured = Image(ball.data * rng.uniform(0.5, 1, GRID.shape), GRID)
    found = resample_foreground(textured, SHIFT.to_displacement(GRID)).data
    deep = ndimage.binary_erosion(ball.data > 0, iterations=2)
    np.testing.assert_allclose(found[deep], SHIFT.apply(textured, GRID).data[deep], rtol=1e-5)


def test_identity_changes_nothing(ball):
    field = DisplacementField.identity(GRID)
    np.testing.assert_array_equal(resample_foreground(ball, field).data, ball.data)


def test_negative_background_becomes_zero(ball):
    shifted = Image(ball.data - 1000, GRID)
    found = resample_foreground(shifted, SHIFT.to_displacement(GRID)).data
    expected = resample_foreground(ball, SHIFT.to_displacement(GRID)).data
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_nothing_is_cut_off_by_the_fixed_grid(ball):
    """An object outside the fixed grid comes back whole."""
    far = Affine([[1, 0, 0, 60], [0, 1, 0, -40], [0, 0, 1, 0], [0, 0, 0, 1]])
    away = Image(ball.data, Grid(GRID.shape, far.matrix), "away")
    found = resample_foreground(away, far.to_displacement(GRID))
    np.testing.assert_allclose(found.data, ball.data, atol=1e-3)
