"""Fields in voxels say on which grids their two images are, and are read as that."""

import json
import struct

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.testing import assert_allclose, assert_array_equal

from optreg.errors import InputError
from optreg.grid import Grid
from optreg.io.fields import grids_of_file, read_field, read_voxels, write_field
from optreg.transform import DisplacementField

MOVING = Grid((20, 21, 22), [[-2.0, 0.1, 0, 30], [0, 2, 0, -20], [0, 0.2, 1.5, 5], [0, 0, 0, 1]])
NAMES = ["a.nii", "a.nii.gz", "a.npz"]


@pytest.fixture
def field(oblique_grid, rng):
    disp = rng.normal(0, 2, (3, *oblique_grid.shape)).astype(np.float32)
    return DisplacementField(disp, oblique_grid, MOVING)


def written(folder, name, field):
    format = "npz" if name.endswith("npz") else "l2r"
    return write_field(folder / name, field, None, format=format)


@pytest.mark.parametrize("name", NAMES)
def test_grids_come_back_without_the_images(name, field, tmp_path):
    path = written(tmp_path, name, field)
    fixed, moving = grids_of_file(path)
    for found, grid in ((fixed, field.fixed_grid), (moving, MOVING)):
        assert found.shape == grid.shape
        assert_array_equal(found.affine, grid.affine)
    again = read_field(path)
    assert again.fixed_grid.same_as(field.fixed_grid) and again.source_grid.same_as(MOVING)
    assert_allclose(again.disp, field.disp, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_lead_from_voxels_to_voxels(name, field, tmp_path):
    """As who knows nothing of grids reads them: by hand from the two affines."""
    path = written(tmp_path, name, field)
    if name.endswith("npz"):
        with np.load(path) as archive:
            assert archive.files == ["arr_0"]
            stored = archive["arr_0"]
    else:
        image = nib.load(path)
        assert_array_equal(image.affine, np.eye(4))
        stored = np.moveaxis(np.asarray(image.dataobj), -1, 0)
        assert_array_equal(read_voxels(path, field.fixed_grid), stored)
    voxel = np.array([5, 7, 3])
    world = field.fixed_grid.affine[:3] @ [*(voxel + field.disp[:, 5, 7, 3]), 1]
    there = np.linalg.inv(MOVING.affine)[:3] @ [*world, 1]
    assert_allclose(voxel + stored[:, 5, 7, 3], there, atol=1e-4)


def test_other_programs_read_what_is_between_header_and_voxels(field, tmp_path):
    path = written(tmp_path, "a.nii", field)
    image = nib.load(path)
    (extension,) = image.header.extensions
    assert extension.get_code() == 6 and extension.get_sizeondisk() % 16 == 0
    offset = struct.unpack("<f", path.read_bytes()[108:112])
    assert offset == (352 + extension.get_sizeondisk(),)
    (said,) = json.loads(extension.get_content().decode().rstrip("\0")).values()
    assert said["moving"]["shape"] == list(MOVING.shape)
    stored = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert_array_equal(stored.transpose(3, 2, 1, 0), np.asarray(image.dataobj))


def test_saved_by_nibabel_it_still_says_so(field, tmp_path):
    image = nib.load(written(tmp_path, "a.nii.gz", field))
    nib.save(image, tmp_path / "b.nii")
    assert grids_of_file(tmp_path / "b.nii")[1].same_as(MOVING)


def test_field_on_another_grid_is_resampled_and_that_is_said(field, tmp_path, caplog):
    path = written(tmp_path, "a.nii.gz", field)
    other = Grid(field.fixed_grid.shape, field.fixed_grid.affine @ np.diag([1, 1, 0.9, 1]))
    found = read_field(path, other, Grid.identity((9, 9, 9)))
    assert "resampled" in caplog.text and str(path) in caplog.text
    assert found.fixed_grid.same_as(other) and found.source_grid.same_as(MOVING)
    assert_allclose(found.disp, field.resample_to(other).disp, atol=1e-4)


@pytest.mark.parametrize(("named", "leads"), [(None, "world"), ("l2r", "voxels")])
def test_field_that_says_nothing(named, leads, field, tmp_path, caplog):
    path, grid = tmp_path / "a.nii", field.fixed_grid
    nib.save(nib.Nifti1Image(np.moveaxis(field.disp, 0, -1), np.eye(4)), path)
    assert grids_of_file(path) is None
    found = read_field(path, grid, MOVING, format=named)
    if leads == "world":
        assert "does not say" in caplog.text and "--from l2r" in caplog.text
        assert_array_equal(found.disp, field.disp)
    else:
        assert not caplog.text
        assert_allclose(found.voxels_of(MOVING), field.disp, atol=1e-4)
    caplog.clear()
    assert_array_equal(read_field(path, grid, grid, format=named).disp, field.disp)
    assert not caplog.text


def test_voxels_that_do_not_fit_what_the_header_tells(field, tmp_path):
    image = nib.load(written(tmp_path, "a.nii.gz", field))
    cut = nib.Nifti1Image(np.asarray(image.dataobj)[2:], np.eye(4), image.header)
    nib.save(cut, tmp_path / "cut.nii.gz")
    with pytest.raises(InputError, match=r"header tells of an image of 18x23x20.*new header"):
        read_field(tmp_path / "cut.nii.gz", field.fixed_grid)


@pytest.mark.parametrize(
    "extension",
    [
        struct.pack("<2i", 16, 6) + b"not json",
        struct.pack("<2i", 1 << 30, 6) + bytes(8),
        struct.pack("<2i", -16, 6) + bytes(8),
        struct.pack("<2i", 0, 6) + bytes(8),
        struct.pack("<2i", 32, 6) + b'["learn2reg"]'.ljust(24),
    ],
    ids=["no JSON", "too long", "negative", "empty", "a list"],
)
def test_damaged_description_is_none(extension, field, tmp_path):
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.moveaxis(field.disp, 0, -1), np.eye(4)), path)
    content = bytearray(path.read_bytes())
    content[108:112] = struct.pack("<f", 352 + len(extension))
    content[348:352] = b"\1\0\0\0" + extension
    path.write_bytes(content)
    assert grids_of_file(path) is None
    assert_array_equal(read_field(path, field.fixed_grid).disp, field.disp)
