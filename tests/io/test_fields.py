"""Displacement fields against the programs that own the formats."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from optreg.errors import GeometryError, InputError, OutputError
from optreg.grid import Grid
from optreg.io import read_field, write_field
from optreg.transform import Affine, DisplacementField

FLIP = np.array([-1.0, -1, 1])


@pytest.fixture
def disp(rng, oblique_grid):
    noise = rng.standard_normal((3, *oblique_grid.shape))
    return ndimage.gaussian_filter(noise, (0, 3, 3, 3)).astype(np.float32) * 20


# --- challenge format ------------------------------------------------------------------------


def test_challenge_file_is_what_the_evaluator_expects(tmp_path, disp, oblique_grid):
    path = write_field(tmp_path / "disp_0001_0002.nii.gz", disp, oblique_grid)
    image = nib.load(path)
    assert image.shape == (*oblique_grid.shape, 3)
    assert image.get_data_dtype() == np.float32
    assert_array_equal(image.affine, np.eye(4))
    assert_array_equal(image.get_fdata(dtype=np.float32).transpose(3, 0, 1, 2), disp)


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [(".nii", "f4"), (".nii.gz", "f4"), (".nii", "f8"), (".npz", "f4"), (".npz", "f2")],
)
def test_both_orders_of_the_axes_are_read(tmp_path, disp, channels_first, suffix, dtype):
    stored = disp.astype(dtype)
    data = stored if channels_first else stored.transpose(1, 2, 3, 0)
    path = tmp_path / f"field{suffix}"
    if suffix == ".npz":
        np.savez_compressed(path, data)
    else:
        nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    assert_array_equal(read_field(path).disp, stored.astype(np.float32))


def test_grid_of_the_fixed_image_settles_an_ambiguous_shape(tmp_path, rng):
    data = rng.random((3, 9, 10, 3)).astype(np.float32)
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    first = read_field(path, Grid.identity((9, 10, 3)))
    assert_array_equal(first.disp, data)
    last = read_field(path, Grid.identity((3, 9, 10)))
    assert_array_equal(last.disp, np.moveaxis(data, -1, 0))


def test_field_takes_the_geometry_of_the_fixed_image(tmp_path, disp, oblique_grid):
    path = write_field(tmp_path / "a.nii.gz", disp, oblique_grid)
    assert read_field(path, oblique_grid).fixed_grid.same_as(oblique_grid)
    assert read_field(path).fixed_grid.same_as(oblique_grid)


def test_npz_is_read_by_numpy_alone(tmp_path, disp, oblique_grid):
    path = write_field(tmp_path / "a.npz", disp, oblique_grid, format="npz")
    with np.load(path) as archive:
        assert archive.files == ["arr_0"]
        assert_array_equal(archive["arr_0"], disp)
        assert archive["arr_0"].dtype == np.float32


# --- ITK ----------------------------------------------------------------------------------------


def test_itk_moves_points_as_the_field_does(tmp_path, disp, oblique_grid):
    path = write_field(tmp_path / "1Warp.nii.gz", disp, oblique_grid, format="itk")
    header = nib.load(path).header
    assert header.get_data_shape() == (*oblique_grid.shape, 1, 3)
    assert int(header["intent_code"]) == 1007
    image = sitk.ReadImage(str(path), sitk.sitkVectorFloat64)
    transform = sitk.DisplacementFieldTransform(image)
    for index in [(0, 0, 0), (5, 7, 3), (17, 22, 19), (2, 20, 11)]:
        start = oblique_grid.voxel_to_world(index)
        end = oblique_grid.voxel_to_world(index + disp[(slice(None), *index)])
        moved = np.array(transform.TransformPoint((start * FLIP).tolist())) * FLIP
        assert_allclose(moved, end, atol=2e-3)


def sitk_field(disp, grid):
    """Vector image in LPS mm, made without the code under test."""
    mm = np.einsum("ij,j...->i...", grid.affine[:3, :3], disp.astype(float))
    image = sitk.GetImageFromArray((mm * FLIP.reshape(3, 1, 1, 1)).transpose(3, 2, 1, 0), True)
    image.SetSpacing(grid.spacing.tolist())
    image.SetOrigin((grid.affine[:3, 3] * FLIP).tolist())
    image.SetDirection((grid.directions * FLIP[:, None]).ravel().tolist())
    return image


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_vector_images_of_itk_are_read(tmp_path, disp, oblique_grid, suffix):
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(sitk.Cast(sitk_field(disp, oblique_grid), sitk.sitkVectorFloat32), str(path))
    field = read_field(path)
    assert field.fixed_grid.same_as(oblique_grid)
    assert_allclose(field.disp, disp, atol=1e-4)
    assert_allclose(read_field(path, oblique_grid).disp, disp, atol=1e-4)


@pytest.mark.parametrize("suffix", [".h5", ".tfm"])
def test_transform_files_of_itk_are_read(tmp_path, disp, oblique_grid, suffix):
    path = tmp_path / f"a{suffix}"
    transform = sitk.DisplacementFieldTransform(sitk_field(disp, oblique_grid))
    sitk.WriteTransform(transform, str(path))
    field = read_field(path)
    assert field.fixed_grid.same_as(oblique_grid)
    assert_allclose(field.disp, disp, atol=1e-4)


def test_composite_of_affine_and_field(tmp_path, disp, oblique_grid):
    affine = sitk.AffineTransform(3)
    affine.SetMatrix([1.05, 0.1, 0, -0.1, 0.95, 0.02, 0, 0, 1])
    affine.SetTranslation([3, -2, 1])
    warp = sitk.DisplacementFieldTransform(sitk_field(disp, oblique_grid))
    composite = sitk.CompositeTransform([affine, warp])
    sitk.WriteTransform(composite, str(tmp_path / "a.h5"))
    with pytest.raises(InputError, match="without a grid of its own; give the fixed image"):
        read_field(tmp_path / "a.h5")
    field = read_field(tmp_path / "a.h5", oblique_grid)
    inside = np.array([[5.0, 7, 3], [9, 11, 10], [12, 5, 8]])
    points = oblique_grid.voxel_to_world(inside)
    expected = [np.array(composite.TransformPoint((p * FLIP).tolist())) * FLIP for p in points]
    assert_allclose(field.to_points_mm(points), expected, atol=1e-3)


def test_affine_file_of_itk(tmp_path, oblique_grid):
    matrix = np.eye(4)
    matrix[:3] = [[1.1, 0.1, 0, 4], [-0.1, 0.9, 0.05, -3], [0, 0.02, 1, 2]]
    lps = np.diag([-1, -1, 1, 1]) @ matrix @ np.diag([-1, -1, 1, 1])
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(lps[:3, :3].ravel().tolist())
    transform.SetTranslation(lps[:3, 3].tolist())
    for name in ("a.mat", "a.txt", "a.tfm"):
        sitk.WriteTransform(transform, str(tmp_path / name))
        field = read_field(tmp_path / name, oblique_grid)
        assert_allclose(field.disp, Affine(matrix).to_displacement(oblique_grid).disp, atol=1e-4)


def test_itk_field_on_another_grid_is_resampled(tmp_path, blobs, smooth_disp):
    path = write_field(tmp_path / "a.nii.gz", smooth_disp, blobs.grid, format="itk")
    finer = Grid((50, 60, 50), blobs.grid.affine @ np.diag([0.7, 0.7, 0.7, 1]))
    field = read_field(path, finer)
    assert field.fixed_grid is finer
    points = blobs.grid.voxel_to_world([[5.0, 6, 7], [20, 20, 20]])
    original = DisplacementField(smooth_disp, blobs.grid)
    assert_allclose(field.to_points_mm(points), original.to_points_mm(points), atol=0.05)


def test_sheared_grid_is_not_written_for_itk(tmp_path):
    affine = np.eye(4)
    affine[0, 1] = 0.2
    grid = Grid((8, 8, 8), affine)
    with pytest.raises(GeometryError, match="sheared"):
        write_field(tmp_path / "a.nii.gz", np.zeros((3, 8, 8, 8)), grid, format="itk")
    assert list(tmp_path.iterdir()) == []


# --- round trips and overwriting -------------------------------------------------------------


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([("l2r", "a.nii.gz"), ("l2r", "a.nii"), ("itk", "a.nii.gz"), ("npz", "a.npz")]),
    st.tuples(*[st.integers(4, 12)] * 3),
    st.integers(0, 2**31),
)
def test_round_trip(tmp_path, oblique_grid, how, shape, seed):
    grid = Grid(shape, oblique_grid.affine)
    disp = np.random.default_rng(seed).normal(0, 2, (3, *shape)).astype(np.float32)
    path = write_field(tmp_path / how[1], disp, grid, format=how[0], overwrite=True)
    field = read_field(path, grid)
    assert_allclose(field.disp, disp, atol=0 if how[0] != "itk" else 2e-5)
    assert field.fixed_grid.same_as(grid, tolerance=1e-2)


@pytest.mark.parametrize(
    ("format", "name"), [("l2r", "a.nii.gz"), ("itk", "a.nii.gz"), ("npz", "a.npz")]
)
def test_equal_fields_give_equal_files(tmp_path, disp, oblique_grid, format, name):
    first = write_field(tmp_path / name, disp, oblique_grid, format=format).read_bytes()
    again = write_field(tmp_path / name, disp, oblique_grid, format=format, overwrite=True)
    assert again.read_bytes() == first


def test_field_without_grid_is_in_1_mm_voxels(tmp_path, disp):
    path = write_field(tmp_path / "a.nii.gz", disp, None, format="itk")
    assert_allclose(read_field(path).disp, disp, atol=1e-5)


@pytest.mark.parametrize(("format", "name"), [("l2r", "a.nii.gz"), ("npz", "a.npz")])
def test_existing_field_needs_overwrite(tmp_path, format, name):
    path = tmp_path / name
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists already"):
        write_field(path, np.zeros((3, 8, 9, 10)), None, format=format)
    assert path.read_bytes() == b"old"


def test_a_field_may_be_written_as_the_object_it_is(tmp_path, oblique_grid, rng):
    disp = rng.standard_normal((3, *oblique_grid.shape)).astype(np.float32)
    moving = Grid((20, 22, 24), np.diag([1.5, 1, 1, 1]))
    field = DisplacementField(disp, oblique_grid, moving)
    expected = write_field(tmp_path / "a.nii", disp, oblique_grid, moving, format="fsl")
    for name, grid in (("b.nii", oblique_grid), ("c.nii", None)):
        path = write_field(tmp_path / name, field, grid, format="fsl")
        assert path.read_bytes() == expected.read_bytes()
    with pytest.raises(GeometryError, match=r"d\.nii: not written, the field is on another grid"):
        write_field(tmp_path / "d.nii", field, Grid.identity(oblique_grid.shape))
