"""Writing of images, read again by other programs."""

import struct

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from optreg.errors import GeometryError, InputError, OutputError
from optreg.grid import Grid
from optreg.io import load_image, save_image

SHAPE = (9, 10, 11)  # as in conftest.py


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["?", "u1", "i2", "u2", "i4", "f4", "f8", ">f4", "f2", "i8"]),
    st.sampled_from(["a.nii", "a.nii.gz"]),
    st.integers(0, 2**31),
)
def test_round_trip(tmp_path, oblique_grid, dtype, name, seed):
    noise = np.random.default_rng(seed).normal(0, 60, oblique_grid.shape)
    data = np.abs(noise).astype(dtype)
    path = save_image(tmp_path / name, data, oblique_grid, overwrite=True)
    image = load_image(path)
    assert_array_equal(image.data, data)
    assert image.grid.same_as(oblique_grid)
    assert_array_equal(np.asanyarray(nib.load(path).dataobj), data)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name not in ("a.nii", "a.nii.gz")) == []


def test_other_programs_see_the_same_world(tmp_path, rng, oblique_grid):
    data = rng.random(oblique_grid.shape).astype(np.float32)
    path = save_image(tmp_path / "a.nii.gz", data, oblique_grid)
    assert_allclose(nib.load(path).get_qform(), oblique_grid.affine, atol=1e-4)
    assert nib.load(path).header.get_xyzt_units()[0] == "mm"
    image = sitk.ReadImage(str(path))
    point = np.array(image.TransformIndexToPhysicalPoint((3, 4, 5))) * [-1, -1, 1]
    assert_allclose(point, oblique_grid.voxel_to_world([3, 4, 5]), atol=1e-3)
    assert_array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0), data)


def test_sheared_grid_is_stored_in_the_sform_alone(tmp_path):
    affine = np.eye(4)
    affine[0, 1] = 0.3
    path = save_image(tmp_path / "a.nii", np.zeros((8, 8, 8), np.uint8), Grid((8, 8, 8), affine))
    assert_allclose(load_image(path).grid.affine, affine, atol=1e-6)
    assert nib.load(path).header["qform_code"] == 0


def test_equal_images_give_equal_files(tmp_path, voxels):
    grid = Grid.identity(SHAPE)
    first, second = (save_image(tmp_path / n, voxels, grid) for n in ("a.nii.gz", "b.nii.gz"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("data", "dtype"),
    [([300.0], "u1"), ([-1], "u1"), ([2**40], "i4"), ([1e300], "f4"), ([-0.6], "u2")],
)
def test_values_that_do_not_fit_are_refused(tmp_path, data, dtype):
    volume = np.broadcast_to(np.array(data), (8, 8, 8))
    with pytest.raises(InputError, match=r"do not fit into|overflow"):
        save_image(tmp_path / "a.nii", volume, Grid.identity((8, 8, 8)), dtype=dtype)
    assert list(tmp_path.iterdir()) == []


def test_floats_are_rounded_for_integer_types(tmp_path):
    volume = np.broadcast_to(np.array([1.6]), (8, 8, 8))
    path = save_image(tmp_path / "a.nii", volume, Grid.identity((8, 8, 8)), dtype=np.uint8)
    assert (load_image(path).data == 2).all()


@pytest.mark.parametrize("dtype", ["f2", "c8", "?"])
def test_types_that_nifti_lacks_are_refused(tmp_path, dtype):
    with pytest.raises(OutputError, match="NIfTI has no type"):
        save_image(tmp_path / "a.nii", np.zeros(SHAPE), Grid.identity(SHAPE), dtype=dtype)


def test_unusable_data_are_refused(tmp_path):
    grid = Grid.identity(SHAPE)
    with pytest.raises(GeometryError, match="do not fit the grid"):
        save_image(tmp_path / "a.nii", np.zeros((9, 9, 9)), grid)
    with pytest.raises(InputError, match="complex"):
        save_image(tmp_path / "a.nii", np.zeros(SHAPE, complex), grid)
    with pytest.raises(InputError, match="NaN"):
        save_image(tmp_path / "a.nii", np.full(SHAPE, np.nan), grid)
    with pytest.raises(OutputError, match=r"end the name in \.nii\.gz"):
        save_image(tmp_path / "a.png", np.zeros(SHAPE), grid)
    assert list(tmp_path.iterdir()) == []


def test_wide_series_beyond_nifti1_is_an_output_error(tmp_path):
    shape = (40000, 1, 1)
    with pytest.raises(OutputError, match="NIfTI-1 cannot hold"):
        save_image(tmp_path / "a.nii", np.zeros(shape, np.uint8), Grid.identity(shape))


def test_voxel_order_on_disk_is_first_axis_fastest(tmp_path):
    data = np.arange(8**3, dtype=np.int16).reshape(8, 8, 8)
    path = save_image(tmp_path / "a.nii", data, Grid.identity((8, 8, 8)))
    first = struct.unpack("<3h", path.read_bytes()[352:358])
    assert first == (data[0, 0, 0], data[1, 0, 0], data[2, 0, 0])
