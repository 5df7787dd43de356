"""Geometry in NIfTI headers, sound and faulty."""

import logging

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.testing import assert_allclose, assert_array_equal

from optreg.errors import GeometryError, InputError
from optreg.grid import Grid
from optreg.io import load_image, read_field, save_image, write_transform
from optreg.transform import DisplacementField


def test_sform_wins_over_qform_and_says_so(write, oblique_grid, caplog):
    path = write(qform_code=1, qoffset_x=99)
    with caplog.at_level(logging.WARNING, "optreg"):
        image = load_image(path)
    assert_allclose(image.grid.affine, oblique_grid.affine, atol=1e-5)
    assert "sform and qform disagree; the sform is used" in caplog.text
    assert str(path) in caplog.text


def test_agreeing_sform_and_qform_are_silent(tmp_path, voxels, oblique_grid, caplog):
    image = nib.Nifti1Image(voxels, oblique_grid.affine)
    image.set_qform(oblique_grid.affine, 1)
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / "a.nii")
    load_image(tmp_path / "a.nii")
    assert caplog.text == ""


def test_qform_alone(tmp_path, voxels, oblique_grid):
    image = nib.Nifti1Image(voxels, None)
    image.set_qform(oblique_grid.affine, 1)
    image.set_sform(None, 0)
    nib.save(image, tmp_path / "a.nii")
    read = load_image(tmp_path / "a.nii").grid
    assert_allclose(read.affine, oblique_grid.affine, atol=1e-4)
    physical = sitk.ReadImage(str(tmp_path / "a.nii")).TransformIndexToPhysicalPoint((1, 2, 3))
    assert_allclose(read.voxel_to_world([1, 2, 3]), np.array(physical) * [-1, -1, 1], atol=1e-3)


def test_neither_form_takes_voxel_sizes_with_a_warning(write, caplog):
    path = write(sform_code=0, qform_code=0, pixdim=[1, 1, 2, 3, 0, 0, 0, 0])
    assert_array_equal(load_image(path).grid.affine, np.diag([1, 2, 3, 1]))
    assert "codes are both 0" in caplog.text


@pytest.mark.parametrize(
    ("code", "factor", "word"), [(1, 1000, "metre"), (3, 1e-3, "micron"), (0, 1, "mm assumed")]
)
def test_units_become_mm(write, oblique_grid, caplog, code, factor, word):
    path = write(xyzt_units=code | 8)
    with caplog.at_level(logging.INFO, "optreg"):
        image = load_image(path)
    assert_allclose(image.grid.affine[:3], oblique_grid.affine[:3] * factor, rtol=1e-5)
    assert word in caplog.text


def test_negative_voxel_size_is_mended(write, oblique_grid, caplog):
    header = nib.load(write(affine=np.diag([2.0, 2, 2, 1]))).header
    path = write(
        affine=np.diag([2.0, 2, 2, 1]),
        sform_code=0,
        qform_code=1,
        pixdim=np.where(np.arange(8) == 2, -1, 1) * header["pixdim"],
    )
    assert_allclose(load_image(path).grid.affine, np.diag([2, 2, 2, 1]), atol=1e-6)
    assert "negative voxel size" in caplog.text


def test_wrong_qfac_counts_as_one(tmp_path, write, oblique_grid, caplog):
    path = write(
        affine=np.diag([1.0, 2, 3, 1]),
        sform_code=0,
        qform_code=1,
        pixdim=[0.5, 1, 2, 3, 0, 0, 0, 0],
    )
    assert_allclose(load_image(path).grid.affine, np.diag([1, 2, 3, 1]), atol=1e-6)
    assert "qfac (pixdim[0]) is 0.5; 1 is used" in caplog.text


@pytest.mark.parametrize("size", [0, np.nan, np.inf])
@pytest.mark.parametrize("sform_code", [0, 2])
def test_zero_voxel_size_is_refused(write, size, sform_code):
    path = write(pixdim=[1, 1, size, 1, 0, 0, 0, 0], sform_code=sform_code)
    with pytest.raises(GeometryError, match="voxel size"):
        load_image(path)


@pytest.mark.parametrize("row", [[0, 0, 0, 0], [np.nan, 0, 0, 0], [1e30, 0, 0, 0]])
def test_unusable_sform_is_refused(write, row):
    path = write(srow_x=row)
    with pytest.raises(GeometryError, match=r"scan\.nii: affine"):
        load_image(path)


@pytest.mark.parametrize("quaternion", [(1, 1, 1), (np.nan, 0, 0)])
def test_invalid_quaternion(write, oblique_grid, caplog, quaternion):
    b, c, d = quaternion
    broken = {"qform_code": 1, "quatern_b": b, "quatern_c": c, "quatern_d": d}
    with pytest.raises(GeometryError, match="quaternion"):
        load_image(write(sform_code=0, **broken))
    image = load_image(write(**broken))
    assert_allclose(image.grid.affine, oblique_grid.affine, atol=1e-5)
    assert "the sform is used" in caplog.text


@pytest.mark.parametrize("field", ["pixdim", "srow_y", "qoffset_z", "scl_slope"])
def test_signalling_nan_is_an_error_and_no_warning(write, field):
    path = write()
    raw = bytearray(path.read_bytes())
    dtype, offset = nib.Nifti1Header.template_dtype.fields[field][:2]
    start = offset + (8 if dtype.shape else 0)
    raw[start : start + 4] = b"\1\0\xa0\x7f"
    path.write_bytes(raw)
    if field == "qoffset_z":  # the sform counts
        assert np.isfinite(load_image(path).grid.affine).all()
        return
    with pytest.raises(InputError):
        load_image(path)


@pytest.mark.parametrize(
    ("sform", "qform", "expected"),
    [(2, 1, 2), (4, 4, 4), (0, 3, 3), (5, 0, 5), (0, 0, 1), (99, 1, 1), (-3, 2, 2)],
)
def test_code_is_that_of_the_form_that_is_used(write, sform, qform, expected):
    image = load_image(write(sform_code=sform, qform_code=qform))
    assert image.grid.space == expected


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5])
def test_code_is_written_to_both_forms(tmp_path, voxels, oblique_grid, code):
    grid = Grid(voxels.shape, oblique_grid.affine, space=code)
    path = save_image(tmp_path / "a.nii.gz", voxels, grid)
    header = nib.load(path).header
    assert (header["sform_code"], header["qform_code"]) == (code, code)
    assert load_image(path).grid.space == code


@pytest.mark.parametrize("format", ["itk", "fsl", "spm"])
def test_code_goes_with_a_field(tmp_path, oblique_grid, format):
    grid = Grid(oblique_grid.shape, oblique_grid.affine, space=4)
    field = DisplacementField.identity(grid)
    path = write_transform(tmp_path / "f.nii.gz", field, format=format)
    read = read_field(path, None, grid, format=format)
    assert nib.load(path).header["sform_code"] == read.fixed_grid.space == 4
