"""SimpleITK reads what is written for it, and the other way round."""

import numpy as np
import pytest
import SimpleITK as sitk
from itk_images import FLIP, itk_image
from numpy.testing import assert_allclose, assert_array_equal
from random_maps import small_affine
from scipy.spatial.transform import Rotation

from optreg.errors import InputError
from optreg.grid import Grid
from optreg.io import trial
from optreg.io.fields import read_field, read_transform, write_field, write_transform
from optreg.transform import DisplacementField


def itk_transform(path):
    if path.suffix in (".h5", ".tfm", ".txt", ".mat"):
        return sitk.ReadTransform(str(path))
    return sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))


def rotated(spacing, angles):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles).as_matrix() * spacing
    affine[:3, 3] = -12, -14, -13
    return affine


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd", "a.h5"])
def test_itk_resamples_and_moves_points_by_the_written_field(tmp_path, rng, name):
    fixed = Grid((24, 20, 22), rotated([1.0, 1.5, 1.2], [0.2, -0.3, 0.1]))
    moving = Grid((20, 28, 25), rotated([1.4, 1.0, 1.1], [-0.1, 0.2, 0.0]))
    disp = np.stack([3 * np.sin(np.indices(fixed.shape).sum(axis=0) / 6 + a) for a in range(3)])
    field = DisplacementField(disp, fixed, moving)
    path = write_field(tmp_path / name, disp, fixed, moving, format="itk")
    transform = itk_transform(path)
    vox = rng.uniform(0, 1, (50, 3)) * (np.array(fixed.shape) - 1)
    points = fixed.voxel_to_world(vox)
    expected = np.array([transform.TransformPoint((p * FLIP).tolist()) for p in points]) * FLIP
    assert_allclose(field.to_points_mm(points), expected, atol=1e-3)
    volume = rng.standard_normal(moving.shape).astype(np.float32)
    warped = sitk.Resample(
        itk_image(volume, moving), itk_image(np.zeros(fixed.shape), fixed), transform,
        sitk.sitkLinear, 0.0,
    )  # fmt: skip
    warped = sitk.GetArrayFromImage(warped).transpose(2, 1, 0)
    assert 0.3 < (warped != 0).mean()
    assert_allclose(field.apply(volume), warped, atol=1e-3)


@pytest.mark.parametrize("name", ["a.tfm", "a.txt", "a.mat", "a.h5"])
def test_itk_moves_points_by_the_written_affine(tmp_path, name):
    affine = small_affine(5)
    transform = itk_transform(write_transform(tmp_path / name, affine, format="itk"))
    points = np.array([[1.0, 2, 3], [-30, 5, 80]])
    moved = np.array([transform.TransformPoint((p * FLIP).tolist()) for p in points]) * FLIP
    assert_allclose(affine.to_points_mm(points), moved, atol=1e-9)


def test_composite_of_affines_and_a_field_in_one_file(tmp_path, oblique_grid, rng):
    disp = rng.normal(0, 1, (3, *oblique_grid.shape)).astype(np.float32)
    warp = DisplacementField(disp, oblique_grid).to_sitk()
    inner = sitk.CompositeTransform([small_affine(6).to_sitk(), warp])
    composite = sitk.CompositeTransform([small_affine(7).to_sitk(), inner])
    composite.FlattenTransform()
    sitk.WriteTransform(composite, str(tmp_path / "a.h5"))
    field = read_field(tmp_path / "a.h5", oblique_grid)
    index = np.array([[5, 7, 3], [9, 11, 10], [12, 5, 8]])
    points = oblique_grid.voxel_to_world(index)
    moved = np.array([composite.TransformPoint((p * FLIP).tolist()) for p in points]) * FLIP
    assert_allclose(field.to_points_mm(points), moved, atol=1e-3)
    affines = sitk.CompositeTransform([small_affine(6).to_sitk(), small_affine(7).to_sitk()])
    sitk.WriteTransform(affines, str(tmp_path / "b.h5"))
    joined = read_transform(tmp_path / "b.h5")
    assert_array_equal(joined.matrix[3], [0, 0, 0, 1])
    expected = small_affine(6).compose(small_affine(7)).matrix
    assert_allclose(joined.matrix, expected, atol=1e-9)


def test_hdf5_that_would_end_or_hang_the_process_is_refused(tmp_path, oblique_grid):
    path = tmp_path / "a.h5"
    write_field(path, np.zeros((3, *oblique_grid.shape)), oblique_grid, format="itk")
    whole = path.read_bytes()
    # Copies of this piece of the header send HDF5 outside of its memory or round in circles.
    for copies, length in ((1, 64), (2, 500), (3, 64), (1, 500)):
        path.write_bytes(whole[:54] + whole[54 : 54 + length] * copies + whole[54:])
        with pytest.raises(InputError, match=r"a\.h5: file damaged"):
            read_field(path)


def test_hdf5_is_read_with_a_limit_of_time(tmp_path, oblique_grid, monkeypatch):
    path = tmp_path / "a.h5"
    write_field(path, np.zeros((3, *oblique_grid.shape)), oblique_grid, format="itk")
    monkeypatch.setattr(trial, "_CODE", "while True: pass")
    monkeypatch.setattr(trial, "_WAIT_PER_SECOND", 0.2)
    with pytest.raises(InputError, match="reading it does not end"):
        read_field(path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace(b"0.1 0.2 0.3", b'"a" 0.2 0.3'),
        lambda text: text.replace(b"0.1 0.2 0.3 ", b""),
        lambda text: text.replace(b"Parameters: 1 2 3", b"Parameters: 1 nan 3"),
        lambda text: text.replace(b"Insight", b"Insite"),
        lambda text: text[:-1],
    ],
)
def test_numbers_that_are_missing_in_a_text_of_itk(tmp_path, spoil):
    path = tmp_path / "a.tfm"
    both = sitk.CompositeTransform(3)
    both.AddTransform(small_affine(3).to_sitk())
    both.AddTransform(sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3, (4.0, 5.0, 6.0)))
    sitk.WriteTransform(both, str(path))
    assert read_transform(path).matrix.shape == (4, 4)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=r"a\.tfm: file damaged"):
        read_transform(path)
