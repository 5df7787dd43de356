"""Loading of images, against nibabel and SimpleITK, and contents that are refused."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.testing import assert_allclose, assert_array_equal

from optreg.errors import ConfigError, InputError
from optreg.grid import Grid
from optreg.io import load_image, save_image
from optreg.io.itk import quiet_itk

SHAPE = (9, 10, 11)  # as in conftest.py


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "SCAN.NII.GZ"])
def test_nifti_equals_nibabel(write, voxels, oblique_grid, name):
    image = load_image(write(name=name))
    assert_array_equal(image.data, voxels)
    assert image.data.dtype == np.int16
    assert image.data.flags.c_contiguous
    assert_allclose(image.grid.affine, oblique_grid.affine, atol=1e-5)
    assert image.name.endswith(name)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_every_real_type_in_both_byte_orders(tmp_path, voxels, dtype, order, kind):
    data = np.abs(voxels // 8).astype(dtype)
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(order))
    nib.save(kind(data, np.eye(4), header, dtype=dtype), tmp_path / "a.nii")
    assert nib.load(tmp_path / "a.nii").header.endianness == order
    image = load_image(tmp_path / "a.nii")
    assert image.data.dtype == np.dtype(dtype)
    assert image.data.dtype.isnative
    assert_array_equal(image.data, data)


@pytest.mark.parametrize("name", ["scan.mgh", "scan.mgz"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4"])
def test_mgh_equals_nibabel(tmp_path, voxels, oblique_grid, name, dtype):
    data = np.abs(voxels // 8).astype(dtype)
    nib.save(nib.MGHImage(data, oblique_grid.affine), tmp_path / name)
    image = load_image(tmp_path / name)
    assert_array_equal(image.data, data)
    assert_allclose(image.grid.affine, oblique_grid.affine, atol=1e-4)


def test_mgh_without_geometry_takes_the_default_of_freesurfer(tmp_path, voxels, caplog):
    raw = bytearray(nib.MGHImage(voxels, np.diag([3, 3, 3, 1])).to_bytes())
    raw[28:30] = b"\0\0"
    (tmp_path / "a.mgh").write_bytes(raw)
    grid = load_image(tmp_path / "a.mgh").grid
    assert grid.orientation == "LIA"
    assert_array_equal(grid.spacing, 1)
    assert_allclose(grid.voxel_to_world(np.array(SHAPE) / 2), 0, atol=1e-9)
    assert "axes LIA are used" in caplog.text


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii.gz"])
@pytest.mark.parametrize("compress", [False, True])
def test_world_positions_equal_those_of_itk(tmp_path, voxels, oblique_grid, suffix, compress):
    path = tmp_path / f"scan{suffix}"
    flip = np.array([-1.0, -1, 1])
    image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
    image.SetSpacing(oblique_grid.spacing.tolist())
    image.SetOrigin((oblique_grid.affine[:3, 3] * flip).tolist())
    image.SetDirection((oblique_grid.directions * flip[:, None]).ravel().tolist())
    sitk.WriteImage(image, str(path), compress)
    read = load_image(path)
    assert_array_equal(read.data, voxels)
    for index in [(0, 0, 0), (8, 0, 3), (2, 9, 10)]:
        physical = np.array(image.TransformIndexToPhysicalPoint(index)) * flip
        assert_allclose(read.grid.voxel_to_world(index), physical, atol=1e-4)


def test_sitk_4d_picks_a_volume(tmp_path, rng):
    data = rng.random((3, *SHAPE[::-1])).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(data, isVector=False), str(tmp_path / "a.nrrd"))
    read = load_image(tmp_path / "a.nrrd", volume=1)
    assert_array_equal(read.data, data[1].transpose(2, 1, 0))


def test_real_scan_equals_nibabel(data_dir):
    path = sorted((data_dir / "imagesVal").glob("*_0000.nii.gz"))[0]
    reference = nib.load(path)
    image = load_image(path)
    assert_array_equal(image.data, np.asanyarray(reference.dataobj))
    assert_array_equal(image.grid.affine, reference.affine)
    assert image.grid.orientation == "RAS"


@pytest.mark.parametrize("shape", [(*SHAPE, 1), (*SHAPE, 1, 1)])
def test_trailing_axes_of_one_are_dropped(write, rng, shape):
    data = rng.random(shape).astype(np.float32)
    assert_array_equal(load_image(write(data)).data, data.reshape(SHAPE))


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.mgz"])
def test_volume_of_a_series(tmp_path, rng, name):
    data = rng.random((*SHAPE, 4)).astype(np.float32)
    kind = nib.MGHImage if name.endswith("mgz") else nib.Nifti1Image
    nib.save(kind(data, np.eye(4)), tmp_path / name)
    assert_array_equal(load_image(tmp_path / name, volume=2).data, data[..., 2])
    with pytest.raises(InputError, match="holds 4 volumes; extract one of them"):
        load_image(tmp_path / name)
    for wrong in (4, -1):
        with pytest.raises(InputError, match=f"has no volume {wrong}; the last one is 3"):
            load_image(tmp_path / name, volume=wrong)


@pytest.mark.parametrize("volume", [0, 3])
def test_a_single_volume_is_the_one_whatever_is_asked_for(write, voxels, volume):
    assert_array_equal(load_image(write(), volume=volume).data, voxels)


def test_five_axes_are_refused(write):
    with pytest.raises(InputError, match="has 5 dimensions"):
        load_image(write(np.zeros((*SHAPE, 2, 2), np.float32)))


def test_displacement_field_is_no_image(write):
    path = write(np.zeros((*SHAPE, 1, 3), np.float32), intent_code=1007)
    with pytest.raises(InputError, match="is a displacement field"):
        load_image(path)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4"])
def test_scaled_data_is_used(write, voxels, dtype):
    data = np.abs(voxels // 8).astype(dtype)
    path = write(data, scl_slope=0.37, scl_inter=-12.5)
    image = load_image(path)
    assert image.data.dtype.kind == "f"
    assert_allclose(image.data, nib.load(path).get_fdata(), rtol=1e-5, atol=1e-5)


def test_slope_zero_means_not_scaled(write, voxels):
    image = load_image(write(scl_slope=0, scl_inter=7))
    assert_array_equal(image.data, voxels)


@pytest.mark.parametrize("field", ["scl_slope", "scl_inter"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scaling_that_is_no_number_is_refused(write, field, value):
    with pytest.raises(InputError, match="intensity scaling is"):
        load_image(write(**{field: value}))


def test_scaling_beyond_float_is_reported_as_infinite_voxels(write):
    with pytest.raises(InputError, match="NaN or infinite voxels"):
        load_image(write(np.full(SHAPE, 1e30, np.float32), scl_slope=1e30))


def test_extreme_but_finite_values_pass(write):
    data = np.full(SHAPE, 1e30, np.float32)
    data[0] = -1e30
    assert_array_equal(load_image(write(data)).data, data)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_is_counted_and_located(write, bad):
    data = np.ones(SHAPE, np.float32)
    data[3, 4, 5] = data[8, 9, 10] = bad
    path = write(data)
    with pytest.raises(InputError, match=r"2 NaN or .* the first at \(3, 4, 5\); replace them"):
        load_image(path)
    fixed = load_image(path, nan_to=0)
    assert fixed.data.dtype == np.float32
    assert fixed.data[3, 4, 5] == fixed.data[8, 9, 10] == 0
    assert fixed.data.sum() == np.prod(SHAPE) - 2
    for value in (np.nan, -np.inf, 1e300):
        with pytest.raises(ConfigError, match="give a finite number"):
            load_image(path, nan_to=value)


@pytest.mark.parametrize(
    ("dtype", "label"),
    [
        ([("R", "u1"), ("G", "u1"), ("B", "u1")], "RGB"),
        ("c8", "complex64"),
        ("c16", "complex128"),
    ],
)
def test_voxels_that_are_not_real_are_named(write, dtype, label):
    with pytest.raises(InputError, match=f"voxels are of type {label};"):
        load_image(write(np.zeros(SHAPE, dtype)))


def test_unknown_type_code_is_named(write):
    with pytest.raises(InputError, match="voxels are of type 999, unknown to NIfTI"):
        load_image(write(datatype=999))


def test_vector_and_complex_itk_images_are_refused(tmp_path):
    vectors = sitk.GetImageFromArray(np.zeros((*SHAPE, 2), np.float32), isVector=True)
    sitk.WriteImage(vectors, str(tmp_path / "v.mha"))
    with pytest.raises(InputError, match="2 volumes"):
        load_image(tmp_path / "v.mha")
    field = sitk.GetImageFromArray(np.zeros(SHAPE, np.complex64))
    sitk.WriteImage(field, str(tmp_path / "c.nrrd"))
    with pytest.raises(InputError):
        load_image(tmp_path / "c.nrrd")


@pytest.mark.parametrize("shape", [(9, 7, 1), (9, 1, 1), (7, 10, 11), (9, 10, 4, 1)])
def test_too_small(write, shape):
    with pytest.raises(InputError, match="at least 8 along each axis"):
        load_image(write(np.zeros(shape, np.float32)))


def test_two_dimensions_are_a_single_slice(write, tmp_path):
    data = np.random.default_rng(0).random((30, 20), dtype=np.float32)
    found = load_image(write(data))
    assert found.shape == (30, 20, 1) and np.array_equal(found.data[:, :, 0], data)
    image = sitk.GetImageFromArray(data.T)
    image.SetSpacing((0.5, 2.0))
    image.SetOrigin((3.0, -4.0))
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    found = load_image(tmp_path / "a.mha")
    assert found.shape == (30, 20, 1) and np.array_equal(found.data[:, :, 0], data)
    # Of LPS, as SimpleITK has it, the first two change their sign.
    assert np.allclose(found.grid.voxel_to_world([2, 3, 0]), [-4.0, -2.0, 0.0])


@pytest.mark.parametrize("size", [0.0, -1.0, np.nan])
def test_two_dimensions_need_no_third_voxel_size(tmp_path, size):
    image = nib.Nifti1Image(np.arange(90, dtype=np.float32).reshape(9, 10), np.diag([2.0, 3, 1, 1]))
    path = tmp_path / "flat.nii"
    nib.save(image, path)
    content = bytearray(path.read_bytes())
    content[88:92] = np.float32(size).tobytes()
    path.write_bytes(content)
    found = load_image(path)
    assert found.shape == (9, 10, 1) and found.grid.spacing.tolist() == [2, 3, 1]


@pytest.mark.parametrize("dtype", [">i2", ">f4", "<i4"])
def test_images_are_written_in_any_byte_order(tmp_path, voxels, dtype):
    grid = Grid.identity(voxels.shape)
    path = save_image(tmp_path / "a.nii", np.rint(voxels), grid, dtype=dtype)
    assert np.array_equal(load_image(path).data, np.rint(voxels))


def test_one_dimension_is_refused(write):
    with pytest.raises(InputError, match="image of 1 dimensions; 3 or 2 are needed"):
        load_image(write(np.zeros(30, np.float32)))


def test_stderr_is_given_back_when_threads_read_with_itk_at_once(capfd):
    def use(_):
        with quiet_itk("some file"):
            time.sleep(0.002)
            os.write(2, b"noise of a library\n")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(40)))
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"
