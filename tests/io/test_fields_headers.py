"""What headers say of fields: intents, grids that nearly agree, axes of a single voxel."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.testing import assert_allclose

from optreg.errors import InputError
from optreg.grid import Grid
from optreg.io.fields import read_field, write_field


def vectors(path, values, affine, intent=1007, name=b"", p1=0.0):
    """Vectors (X, Y, Z, 3) in a NIfTI file of five axes."""
    image = nib.Nifti1Image(values[:, :, :, None].astype(np.float32), affine)
    image.header["intent_code"] = intent
    image.header["intent_name"] = name
    image.header["intent_p1"] = p1
    nib.save(image, path)
    return path


@pytest.mark.parametrize("intent", [1006, 1007])
def test_vectors_mean_what_itk_takes_them_for(tmp_path, oblique_grid, intent):
    values = np.random.default_rng(4).normal(0, 3, (*oblique_grid.shape, 3))
    path = vectors(tmp_path / "a.nii", values, oblique_grid.affine, intent)
    theirs = sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
    ours = read_field(path, oblique_grid)
    for voxel in [(3, 4, 5), (10, 2, 7)]:
        point = oblique_grid.voxel_to_world(np.array(voxel, float))
        lps = np.array(theirs.TransformPoint(point * [-1, -1, 1]))
        found = oblique_grid.voxel_to_world(np.array(voxel) + ours.disp[(slice(None), *voxel)])
        assert_allclose(found, lps * [-1, -1, 1], atol=1e-3)


def test_kinds_of_transforms_of_niftyreg(tmp_path, blobs, smooth_disp):
    grid, name = blobs.grid, b"NREG_TRANS"
    deformation = nib.load(write_field(tmp_path / "d.nii", smooth_disp, grid, format="spm"))
    positions = deformation.get_fdata()[:, :, :, 0]
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    start = nib.affines.apply_affine(grid.affine, index)
    for kind, values in ((0, positions), (1, positions - start)):
        path = vectors(tmp_path / f"{kind}.nii", values, grid.affine, 1007, name, kind)
        for format in (None, "spm"):
            assert_allclose(read_field(path, grid, format=format).disp, smooth_disp, atol=1e-4)
    for kind in (2, 3, 4, 5, 6):
        path = vectors(tmp_path / f"{kind}.nii", positions, grid.affine, 1007, name, kind)
        with pytest.raises(InputError, match="control point grid or a velocity field of NiftyReg"):
            read_field(path)


def test_field_nearly_on_the_grid_is_on_it(tmp_path, blobs, smooth_disp):
    shifted = blobs.grid.affine.copy()
    shifted[:3, 3] += 0.004 * blobs.grid.affine[:3, 0]
    near = Grid(blobs.grid.shape, shifted)
    path = write_field(tmp_path / "a.nii", smooth_disp, near, format="itk")
    field = read_field(path, blobs.grid)
    assert field.fixed_grid is blobs.grid
    assert_allclose(field.disp, smooth_disp, atol=1e-4)


@pytest.mark.parametrize("format", ["torch", "torch-aligned"])
def test_grid_of_torch_for_a_slice(tmp_path, format):
    grid = Grid.identity((7, 1, 9))
    disp = np.random.default_rng(3).normal(0, 1, (3, 7, 1, 9)).astype(np.float32)
    disp[1] = 0
    path = write_field(tmp_path / "a.npy", disp, grid, format=format)
    assert np.isfinite(np.load(path)).all()
    assert_allclose(read_field(path, grid, format=format).disp, disp, atol=1e-5)
