"""Damaged, wrong and unusable fields: an error of one sentence, in reading and in writing."""

import zipfile

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from optreg.errors import InputError, OptregError, OutputError
from optreg.grid import Grid
from optreg.io import read_field, write_field


def nifti(path, data, intent=0, affine=None):
    image = nib.Nifti1Image(data, np.eye(4) if affine is None else affine)
    image.header["intent_code"] = intent
    nib.save(image, path)
    return path


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["l2r.nii.gz", "itk.nii.gz", "a.npz", "a.mha"])
def test_nan_is_counted_and_located(tmp_path, rng, oblique_grid, bad, name):
    data = rng.standard_normal((*oblique_grid.shape, 3)).astype(np.float32)
    data[2, 3, 4, 1] = bad
    path = tmp_path / name
    if name.startswith("l2r"):
        nifti(path, data)
    elif name.startswith("itk"):
        nifti(path, data[:, :, :, None], 1007, oblique_grid.affine)
    elif name.endswith("npz"):
        np.savez(path, data)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(data.transpose(2, 1, 0, 3), True), str(path))
    with pytest.raises(InputError, match=rf"{name}: 1 NaN or infinite values, the first at \(2, 3"):
        read_field(path)


@pytest.mark.parametrize(
    ("shape", "intent", "what"),
    [
        ((9, 9, 9, 4), 0, "is no displacement field"),
        ((9, 9, 9), 0, "is no displacement field"),
        ((9, 9, 9, 1, 3), 0, "intent 0, an ITK field has intent 1007"),
        ((9, 9, 9, 3), 1007, r"intent 1007, shape .* an ITK field has"),
        ((9, 9, 9, 3), 2006, "a warp of FSL depends on the moving image"),
        ((9, 9, 9, 3), 2007, "no field but coefficients or topup"),
        ((9, 9, 9, 2, 3), 0, "is no displacement field"),
    ],
)
def test_wrong_shape_and_intent(tmp_path, shape, intent, what):
    path = nifti(tmp_path / "a.nii", np.zeros(shape, np.float32), intent)
    with pytest.raises(InputError, match=what):
        read_field(path)


def test_field_of_another_image(tmp_path):
    path = nifti(tmp_path / "a.nii", np.zeros((9, 9, 9, 3), np.float32))
    with pytest.raises(InputError, match="field for 9x9x9 voxels, the fixed image has 10x9x9"):
        read_field(path, Grid.identity((10, 9, 9)))


def test_positions_instead_of_displacements_are_noticed(tmp_path):
    positions = np.moveaxis(np.indices((20, 24, 22)), 0, -1).astype(np.float32)
    path = nifti(tmp_path / "a.nii", positions)
    with pytest.raises(InputError, match="must be in voxels, not in mm and not positions"):
        read_field(path)
    micron = nifti(tmp_path / "b.nii", np.full((20, 24, 22, 3), 1000, np.float32))
    with pytest.raises(InputError, match="100% of the displacements lead far out"):
        read_field(micron)


def test_scalar_and_plane_itk_images_are_no_fields(tmp_path):
    sitk.WriteImage(sitk.Image(9, 9, 9, sitk.sitkFloat32), str(tmp_path / "a.mha"))
    with pytest.raises(InputError, match="a vector image"):
        read_field(tmp_path / "a.mha")
    sitk.WriteTransform(sitk.AffineTransform(2), str(tmp_path / "a.tfm"))
    with pytest.raises(InputError, match="transform of 2 dimensions"):
        read_field(tmp_path / "a.tfm", Grid.identity((8, 8, 8)))


@pytest.mark.parametrize("suffix", [".nii.gz", ".npz", ".mha", ".nrrd", ".h5", ".tfm", ".mat"])
def test_files_that_are_something_else(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(InputError, match="no such file"):
        read_field(path)
    path.write_text("not a field\n" * 50)
    with pytest.raises(InputError, match=f"a{suffix}: ") as caught:
        read_field(path, Grid.identity((8, 8, 8)))
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(str(path)) == 1


def test_unknown_suffix(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(InputError, match="unknown field format"):
        read_field(tmp_path / "a.png")


def test_npz_with_objects_or_several_arrays(tmp_path):
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    with pytest.raises(InputError, match="holds 2 arrays"):
        read_field(tmp_path / "two.npz")
    np.savez(tmp_path / "object.npz", np.array([{}], object))
    with pytest.raises(InputError, match=r"damaged or not an \.npz field"):
        read_field(tmp_path / "object.npz")
    np.savez(tmp_path / "complex.npz", np.zeros((3, 8, 8, 8), complex))
    with pytest.raises(InputError, match="values of type complex128"):
        read_field(tmp_path / "complex.npz")


def test_npz_that_claims_an_impossible_size(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("arr_0.npy", "w") as f:
        header = {"descr": "<f4", "fortran_order": False, "shape": (3, 32767, 32767, 32767)}
        np.lib.format.write_array_header_1_0(f, header)
    with pytest.raises(InputError, match="the file cannot hold that"):
        read_field(tmp_path / "a.npz")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 100_000), st.integers(1, 255), st.sampled_from(["nii.gz", "npz"]))
def test_flipped_byte_gives_an_error_or_the_field(tmp_path, position, mask, suffix):
    disp = np.random.default_rng(5).normal(0, 1, (3, 8, 9, 10)).astype(np.float32)
    format = "npz" if suffix == "npz" else "itk"
    path = write_field(tmp_path / f"a.{suffix}", disp, None, format=format, overwrite=True)
    raw = bytearray(path.read_bytes())
    raw[position % len(raw)] ^= mask
    path.write_bytes(raw)
    try:
        field = read_field(path)
    except OptregError as err:
        assert "\n" not in str(err)
        return
    assert_allclose(field.disp, disp, atol=1e-5)


def test_unusable_fields_are_not_written(tmp_path):
    grid = Grid.identity((8, 9, 10))
    with pytest.raises(InputError, match="NaN"):
        write_field(tmp_path / "a.nii.gz", np.full((3, 8, 9, 10), np.nan), grid)
    with pytest.raises(InputError, match="shape"):
        write_field(tmp_path / "a.nii.gz", np.zeros((8, 9, 10, 3)), grid)
    with pytest.raises(InputError, match="dimensions"):
        write_field(tmp_path / "a.nii.gz", np.zeros((8, 9, 10)), None)
    with pytest.raises(OutputError, match=r"end the name in \.npz"):
        write_field(tmp_path / "a.nii.gz", np.zeros((3, 8, 9, 10)), grid, format="npz")
    with pytest.raises(OutputError, match=r"end the name in \.nii\.gz"):
        write_field(tmp_path / "a.npz", np.zeros((3, 8, 9, 10)), grid)
    with pytest.raises(OutputError, match="'afni' does not exist"):
        write_field(tmp_path / "a.nii.gz", np.zeros((3, 8, 9, 10)), grid, format="afni")
    assert list(tmp_path.iterdir()) == []
