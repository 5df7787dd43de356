"""Transforms to SimpleITK objects and back."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from optreg.errors import InputError
from optreg.grid import Grid
from optreg.transform import Affine, DisplacementField

FLIP = np.array([-1.0, -1, 1])
ANGLES = st.tuples(*[st.floats(-3, 3)] * 3)


@st.composite
def grids(draw):
    """Any spacing, rotation, order and direction of the axes."""
    shape = draw(st.tuples(*[st.integers(4, 8)] * 3))
    spacing = draw(st.tuples(*[st.sampled_from([0.5, 1.0, 1.3, 4.0])] * 3))
    signs = draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    order = draw(st.permutations(range(3)))
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", draw(ANGLES)).as_matrix()[:, order] * (
        np.array(spacing) * signs
    )
    affine[:3, 3] = draw(st.tuples(*[st.floats(-100, 100)] * 3))
    return Grid(shape, affine)


def moved(transform, points):
    """Where a SimpleITK transform takes RAS mm."""
    return np.array([transform.TransformPoint((p * FLIP).tolist()) for p in points]) * FLIP


@given(grids(), st.integers(0, 2**31))
def test_field_goes_to_sitk_and_back(grid, seed):
    disp = np.random.default_rng(seed).normal(0, 2, (3, *grid.shape)).astype(np.float32)
    field = DisplacementField(disp, grid)
    back = DisplacementField.from_sitk(field.to_sitk())
    assert back.fixed_grid.same_as(grid)
    assert_allclose(back.disp, disp, atol=2e-5)


@given(ANGLES)
def test_affine_goes_to_sitk_and_back(angles):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles).as_matrix() @ np.diag([1.1, 0.9, 1.3])
    matrix[:3, 3] = 3, -4, 50
    affine = Affine(matrix)
    points = np.array([[1.0, 2, 3], [-30, 5, 80]])
    assert_allclose(moved(affine.to_sitk(), points), affine.to_points_mm(points), atol=1e-9)
    assert_allclose(Affine.from_sitk(affine.to_sitk()).matrix, matrix, atol=1e-9)


def test_every_linear_class_becomes_an_affine():
    euler = sitk.Euler3DTransform((10.0, 20, 30), 0.1, 0.2, 0.3, (1.0, 2, 3))
    similarity = sitk.Similarity3DTransform(1.2, (0.0, 0, 1), 0.3, (5.0, 6, 7), (-9.0, 8, 7))
    joined = sitk.CompositeTransform([euler, sitk.CompositeTransform([similarity])])
    points = np.array([[1.0, 2, 3], [-30, 5, 80]])
    for transform in (euler, similarity, sitk.TranslationTransform(3, (1.0, 2, 3)), joined):
        assert_allclose(
            Affine.from_sitk(transform).to_points_mm(points), moved(transform, points), atol=1e-9
        )


def test_field_alone_in_a_composite_keeps_its_grid(oblique_grid, rng):
    disp = rng.normal(0, 1, (3, *oblique_grid.shape)).astype(np.float32)
    field = DisplacementField(disp, oblique_grid)
    nested = sitk.CompositeTransform([sitk.CompositeTransform([field.to_sitk()])])
    assert_allclose(DisplacementField.from_sitk(nested).disp, disp, atol=2e-5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=5)
@given(st.integers(0, 2**31))
def test_spline_is_evaluated_at_each_voxel(oblique_grid, seed):
    image = sitk.Image(*oblique_grid.shape, sitk.sitkUInt8)
    image.CopyInformation(DisplacementField.identity(oblique_grid).to_sitk().GetDisplacementField())
    spline = sitk.BSplineTransformInitializer(image, [4, 4, 4])
    numbers = np.random.default_rng(seed).normal(0, 3, len(spline.GetParameters()))
    spline.SetParameters(numbers.tolist())
    field = DisplacementField.from_sitk(spline, oblique_grid)
    points = oblique_grid.voxel_to_world([[3.0, 4, 5], [10, 12, 11]])
    assert_allclose(field.to_points_mm(points), moved(spline, points), atol=1e-3)


def test_what_does_not_fit_is_refused(oblique_grid):
    with pytest.raises(InputError, match="transform of 2 dimensions"):
        Affine.from_sitk(sitk.AffineTransform(2))
    with pytest.raises(InputError, match="without a grid of its own"):
        DisplacementField.from_sitk(sitk.AffineTransform(3))
    with pytest.raises(InputError, match="DisplacementFieldTransform is not linear"):
        Affine.from_sitk(DisplacementField.identity(oblique_grid).to_sitk())
