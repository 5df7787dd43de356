import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from itk_images import FLIP, itk_image
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from optreg.errors import ConfigError, GeometryError, InputError
from optreg.grid import Grid
from optreg.image import Image
from optreg.transform import Affine, DisplacementField


@pytest.fixture
def field(smooth_disp, blobs):
    return DisplacementField(smooth_disp, blobs.grid)


@pytest.fixture
def oblique_field(rng, oblique_grid):
    noise = rng.standard_normal((3, *oblique_grid.shape))
    disp = ndimage.gaussian_filter(noise, (0, 3, 3, 3)).astype(np.float32)
    return DisplacementField(disp * (3 / np.abs(disp).max()), oblique_grid)


@pytest.fixture
def other_grid(oblique_grid):
    """A coarser grid, turned the other way, over the same part of the world."""
    centre = oblique_grid.voxel_to_world((np.array(oblique_grid.shape) - 1) / 2)
    affine = np.array([[0, 0, 1.6, 0], [-1.3, 0.1, 0, 0], [0.1, 1.4, 0, 0], [0, 0, 0, 1]])
    shape = (24, 26, 28)
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def itk_resample(data, moving_grid, fixed_grid, transform, how=sitk.sitkLinear, fill=0.0):
    reference = itk_image(np.zeros(fixed_grid.shape, np.float32), fixed_grid)
    moving = itk_image(data, moving_grid)
    warped = sitk.Resample(moving, reference, transform, how, fill)
    return sitk.GetArrayFromImage(warped).transpose(2, 1, 0)


def smooth(rng, shape):
    return ndimage.gaussian_filter(rng.standard_normal(shape), 2).astype(np.float32) * 10


# --- the convention ---------------------------------------------------------------------------


def test_warped_voxel_takes_its_value_from_where_the_field_points(blobs):
    disp = np.zeros((3, *blobs.shape), np.float32)
    disp[0], disp[2] = 3, -2
    warped = DisplacementField(disp, blobs.grid).apply(blobs)
    assert_allclose(warped.data[10:20, :, 10:20], blobs.data[13:23, :, 8:18])
    assert warped.grid is blobs.grid
    assert warped.name == blobs.name


@pytest.mark.parametrize("fill", [0.0, -1.5])
def test_apply_equals_itk_on_an_oblique_grid(rng, oblique_field, oblique_grid, fill):
    moving = smooth(rng, oblique_grid.shape)
    expected = itk_resample(moving, oblique_grid, oblique_grid, oblique_field.to_sitk(), fill=fill)
    assert (expected == fill).any()
    assert_allclose(oblique_field.apply(moving, fill=fill), expected, atol=1e-4)


def test_apply_equals_itk_from_the_grid_of_the_moving_image(rng, oblique_field, other_grid):
    fixed = oblique_field.fixed_grid
    moving = smooth(rng, other_grid.shape)
    field = DisplacementField(oblique_field.disp, fixed, other_grid)
    expected = itk_resample(moving, other_grid, fixed, field.to_sitk())
    outside = expected == 0
    assert 0.01 < outside.mean() < 0.9
    from_array = field.apply(moving)
    assert_allclose(from_array, expected, atol=1e-4)
    # An image brings its own grid, whatever the field was made for.
    from_image = oblique_field.apply(Image(moving, other_grid))
    assert_array_equal(from_image.data, from_array)


def test_nearest_equals_itk(rng, oblique_field, other_grid):
    moving = rng.integers(1, 1000, other_grid.shape).astype(np.int16)
    field = DisplacementField(oblique_field.disp, oblique_field.fixed_grid, other_grid)
    warped = field.apply(moving, "nearest")
    expected = itk_resample(
        moving, other_grid, field.fixed_grid, field.to_sitk(), sitk.sitkNearestNeighbor
    )
    assert warped.dtype == np.int16
    # A position half-way between two voxels may fall to either side.
    assert (warped == expected).mean() > 0.9999


def test_label_interpolation_is_the_largest_share(rng, oblique_field, other_grid):
    moving = ndimage.zoom(rng.integers(0, 5, (6, 7, 7)), 4, order=0)[:24, :26, :28].astype(np.uint8)
    field = DisplacementField(oblique_field.disp, oblique_field.fixed_grid, other_grid)
    warped = field.apply(moving, "label")
    shares = np.stack([field.apply((moving == v).astype(np.float32)) for v in range(5)])
    shares[0] += field.apply(np.ones(moving.shape, np.float32)) == 0
    picked = np.take_along_axis(shares, warped[None].astype(int), axis=0)[0]
    assert_allclose(picked, shares.max(axis=0), atol=1e-5)
    assert (warped != field.apply(moving, "nearest")).any()


def test_identity_changes_nothing_up_to_the_border(blobs):
    data = blobs.data + 1
    field = DisplacementField.identity(blobs.grid)
    for how in ("linear", "nearest", "label"):
        assert_array_equal(field.apply(data, how), data)


def test_without_fill_the_edge_is_repeated(blobs):
    disp = np.full((3, *blobs.shape), 100, np.float32)
    data = blobs.data + 1
    field = DisplacementField(disp, blobs.grid)
    assert_array_equal(field.apply(data, fill=None), np.full_like(data, data[-1, -1, -1]))
    assert not field.apply(data).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float16, np.float64, bool, ">f4"])
def test_types(blobs, field, dtype):
    data = (blobs.data * 200).astype(dtype)
    assert field.apply(data, "linear").dtype == np.float32
    assert_allclose(field.apply(data, "linear"), field.apply(data.astype(np.float32), "linear"))
    for how in ("nearest", "label"):
        warped = field.apply(data, how)
        expected = np.float32 if dtype == np.float16 else data.dtype.newbyteorder("=")
        assert warped.dtype == expected
        assert set(np.unique(warped)) <= set(np.unique(data)) | {0}


def test_data_in_any_memory_order(blobs, field):
    data = np.asfortranarray(blobs.data)
    for how in ("linear", "nearest", "label"):
        assert_array_equal(field.apply(data, how), field.apply(blobs.data, how))


# --- points --------------------------------------------------------------------------------------


def test_points_follow_itk(oblique_field, rng):
    grid = oblique_field.fixed_grid
    vox = rng.uniform(0, 1, (20, 3)) * (np.array(grid.shape) - 1)
    mm = grid.voxel_to_world(vox)
    transform = oblique_field.to_sitk()
    expected = [np.array(transform.TransformPoint((p * FLIP).tolist())) * FLIP for p in mm]
    assert_allclose(oblique_field.to_points_mm(mm), expected, atol=1e-4)
    assert_allclose(oblique_field.to_points(vox), grid.world_to_voxel(expected), atol=1e-4)


def test_points_end_in_voxels_of_the_moving_image(oblique_field, other_grid):
    field = DisplacementField(oblique_field.disp, oblique_field.fixed_grid, other_grid)
    vox = np.array([[3.0, 4, 5], [10.5, 12, 7.25]])
    mm = field.to_points_mm(oblique_field.fixed_grid.voxel_to_world(vox))
    assert_allclose(other_grid.voxel_to_world(field.to_points(vox)), mm, atol=1e-9)


def test_points_outside_take_the_displacement_of_the_edge(blobs):
    disp = np.zeros((3, *blobs.shape), np.float32)
    disp[1, -1] = 2
    moved = DisplacementField(disp, blobs.grid).to_points([[100.0, 5, 5]])
    assert_allclose(moved, [[100, 7, 5]])


@pytest.mark.parametrize("points", [[1, 2, 3], [[1, 2]], np.zeros((2, 3, 3))])
def test_points_of_wrong_shape(field, points):
    with pytest.raises(InputError, match=r"\(N, 3\) is needed"):
        field.to_points(points)


# --- millimetres ----------------------------------------------------------------------------------


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**31))
def test_mm_and_back(oblique_grid, seed):
    disp = np.random.default_rng(seed).normal(0, 5, (3, *oblique_grid.shape)).astype(np.float32)
    field = DisplacementField(disp, oblique_grid)
    mm = field.to_mm()
    moved = oblique_grid.voxel_to_world(np.array([2.0, 3, 4]) + disp[:, 2, 3, 4])
    assert_allclose(mm[:, 2, 3, 4], moved - oblique_grid.voxel_to_world([2, 3, 4]), atol=1e-4)
    assert_allclose(DisplacementField.from_mm(mm, oblique_grid).disp, disp, atol=1e-4)


# --- algebra ------------------------------------------------------------------------------------


def test_compose_applies_the_other_first(field, blobs):
    back = DisplacementField(np.roll(field.disp, 5, axis=2), blobs.grid)
    joined = field.compose(back)
    points = np.array([[12.0, 15, 20], [20, 24, 22], [30, 33, 17]])
    # Not exact: a composed field is linear between voxels, the two in turn are not.
    assert_allclose(joined.to_points(points), field.to_points(back.to_points(points)), atol=2e-2)
    at_voxels = np.array([[12, 15, 20], [20, 24, 22]])
    assert_allclose(
        joined.to_points(at_voxels), field.to_points(back.to_points(at_voxels)), atol=1e-4
    )
    twice = back.apply(field.apply(blobs))
    assert np.abs(joined.apply(blobs).data - twice.data)[5:-5, 5:-5, 5:-5].mean() < 5e-3


def test_compose_joins_different_grids_in_the_world(oblique_field, other_grid, rng):
    inner = DisplacementField(
        smooth(rng, (3, *other_grid.shape)) * 0.3, other_grid, oblique_field.fixed_grid
    )
    final = Grid((30, 30, 30), np.diag([1.0, 2, 1, 1]))
    outer = DisplacementField(oblique_field.disp, oblique_field.fixed_grid, final)
    joined = outer.compose(inner)
    assert joined.fixed_grid is other_grid
    assert joined.moving_grid is final
    vox = np.array([[10.0, 12, 13], [14, 13, 15], [12, 14, 11]])
    mm = other_grid.voxel_to_world(vox)
    expected = outer.to_points_mm(inner.to_points_mm(mm))
    assert_allclose(joined.to_points_mm(mm), expected, atol=1e-3)
    assert_allclose(joined.to_points(vox), final.world_to_voxel(expected), atol=1e-3)


def test_composed_affines_are_the_affine_product(oblique_grid, other_grid):
    first, then = np.eye(4), np.eye(4)
    first[:3] = [[1, 0.05, 0, 1], [-0.05, 1, 0, -1], [0, 0, 1.02, 0.5]]
    then[:3] = [[0.98, 0, 0.03, 0], [0, 1, 0, 1], [-0.03, 0, 1, -1]]
    a = Affine(then).to_displacement(Grid(oblique_grid.shape, oblique_grid.affine), other_grid)
    b = Affine(first).to_displacement(other_grid, oblique_grid)
    centre = np.array([[12.0, 13, 14]])
    mm = other_grid.voxel_to_world(centre)
    expected = Affine(then @ first).to_points_mm(mm)
    assert_allclose(a.compose(b).to_points_mm(mm), expected, atol=1e-3)


def test_resampled_field_is_the_same_map(field, blobs):
    finer = Grid((60, 70, 66), blobs.grid.affine @ np.diag([0.6, 0.6, 0.6, 1]))
    resampled = field.resample_to(finer)
    assert resampled.moving_grid is field.fixed_grid
    mm = blobs.grid.voxel_to_world([[10.0, 12, 14], [20, 24, 22]])
    assert_allclose(resampled.to_points_mm(mm), field.to_points_mm(mm), atol=0.03)
    whole = DisplacementField(field.disp, blobs.grid).apply(blobs)
    # Down again by picking: a warped image on the fine grid, seen at the voxels of the coarse one.
    fine = resampled.apply(blobs)
    again = DisplacementField.identity(blobs.grid).apply(fine)
    assert np.abs(again.data - whole.data)[4:-4, 4:-4, 4:-4].mean() < 0.01


def test_inverse_undoes_the_field(field, blobs):
    inverse = field.invert()
    points = np.array([[12.0, 15, 20], [20, 24, 22], [30, 33, 17]])
    assert_allclose(inverse.to_points(field.to_points(points)), points, atol=0.05)
    residual = field.compose(inverse).disp[:, 5:-5, 5:-5, 5:-5]
    assert np.abs(residual).max() < 0.02
    again = field.invert(initial=inverse)
    assert_allclose(again.disp[:, 5:-5, 5:-5, 5:-5], inverse.disp[:, 5:-5, 5:-5, 5:-5], atol=0.02)


def test_start_of_the_inverse_must_be_on_the_grid(field, oblique_field):
    with pytest.raises(GeometryError, match="another grid"):
        field.invert(initial=oblique_field)


def test_jacobian_of_an_affine_is_its_determinant(oblique_grid):
    matrix = np.eye(4)
    matrix[:3, :3] = [[1.2, 0.1, 0], [0, 0.9, 0.2], [0.1, 0, 1.1]]
    jacobian = Affine(matrix).to_displacement(oblique_grid).jacobian()
    assert jacobian.shape == oblique_grid.shape
    assert_allclose(jacobian, np.linalg.det(matrix), rtol=1e-4)


def test_jacobian_equals_itk(smooth_disp):
    # ITK differentiates along the array axes, which is right for directions of LPS alone.
    grid = Grid(smooth_disp.shape[1:], np.diag([-1.0, -2.0, 1.5, 1]))
    field = DisplacementField(smooth_disp, grid)
    expected = sitk.DisplacementFieldJacobianDeterminant(field.to_sitk().GetDisplacementField())
    inner = (slice(2, -2),) * 3
    reference = sitk.GetArrayFromImage(expected).transpose(2, 1, 0)
    assert_allclose(field.jacobian()[inner], reference[inner], atol=1e-4)


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 48, 44, 3), (3, 40, 48), (2, 40, 48, 44), (3, 40, 44, 48)])
def test_wrong_shape(blobs, shape):
    with pytest.raises(InputError, match="is needed"):
        DisplacementField(np.zeros(shape, np.float32), blobs.grid)


def test_nan_and_overflow(blobs, smooth_disp):
    disp = smooth_disp.astype(float)
    disp[0, 1, 2, 3], disp[1, 1, 2, 3] = np.nan, 1e300
    with pytest.raises(InputError, match="2 NaN or infinite values"):
        DisplacementField(disp, blobs.grid)


def test_complex_displacements(blobs):
    with pytest.raises(InputError, match="complex"):
        DisplacementField(np.zeros((3, *blobs.shape), complex), blobs.grid)


def test_array_of_another_shape(field):
    with pytest.raises(GeometryError, match="the moving grid has"):
        field.apply(np.zeros((5, 6, 7), np.float32))


@pytest.mark.parametrize("how", ["linear", "nearest", "label"])
def test_complex_volumes(field, blobs, how):
    with pytest.raises(InputError, match="volume of type complex64"):
        field.apply(blobs.data.astype(np.complex64), how)


def test_unknown_interpolation(field, blobs):
    with pytest.raises(
        ConfigError, match="'cubic' does not exist; use auto, linear, nearest or label"
    ):
        field.apply(blobs, "cubic")


def test_voxels_of_another_grid_and_back(oblique_grid):
    disp = np.random.default_rng(2).normal(0, 2, (3, *oblique_grid.shape)).astype(np.float32)
    turned = oblique_grid.affine[:, [1, 2, 0, 3]] @ np.diag([-1.5, 0.7, 1.0, 1.0])
    moving_grid = Grid((9, 30, 21), turned)
    field = DisplacementField(disp, oblique_grid, moving_grid)
    between = field.voxels_of(moving_grid)
    index = np.indices(oblique_grid.shape)
    points = (index + disp).reshape(3, -1).T
    expected = moving_grid.world_to_voxel(oblique_grid.voxel_to_world(points)).T
    np.testing.assert_allclose((index + between).reshape(3, -1), expected, atol=1e-4)
    back = DisplacementField.between_voxels(between, oblique_grid, moving_grid)
    np.testing.assert_allclose(back.disp, disp, atol=1e-4)
    assert back.source_grid is moving_grid
    assert field.voxels_of(oblique_grid) is field.disp


def test_representation_is_short(oblique_grid):
    field = DisplacementField.identity(oblique_grid)
    spacing = "x".join(
        f"{size:.3g}" for size in np.linalg.norm(oblique_grid.affine[:3, :3], axis=0)
    )
    assert repr(field) == f"DisplacementField(18x23x20 voxels of {spacing} mm)"


# --- label maps that nobody calls so ----------------------------------------------------------


@pytest.fixture
def regions(blobs):
    return Image(np.digitize(blobs.data, [0.01, 0.35, 0.6]).astype(np.int16) * 1000, blobs.grid)


def test_label_map_is_warped_as_one_and_said_so(field, regions, caplog):
    expected = field.apply(regions, "label").data
    affine = Affine(np.diag([1.1, 0.9, 1, 1]))
    turned = affine.apply(regions, regions.grid, interpolation="label").data
    assert caplog.text == ""
    for found, wanted in (
        (field.apply(regions).data, expected),
        (field.apply(regions.data), expected),
        (field.apply(regions, interpolation="auto").data, expected),
        (affine.apply(regions, regions.grid).data, turned),
    ):
        assert found.dtype == np.int16
        assert_array_equal(found, wanted)
    assert ["looks like a label map" in line for line in caplog.messages] == 4 * [True]
    caplog.clear()
    stored_as_float = field.apply(Image(regions.data.astype(np.float32), regions.grid, "seg.nii"))
    assert_array_equal(stored_as_float.data, expected)
    assert caplog.messages[0].startswith("seg.nii: ")


def test_what_is_asked_for_is_done_in_silence(field, regions, blobs, caplog):
    averaged = field.apply(regions, "linear").data
    assert averaged.dtype == np.float32 and len(np.unique(averaged)) > 1000
    assert_array_equal(field.apply(blobs).data, field.apply(blobs, "linear").data)
    assert caplog.text == ""
