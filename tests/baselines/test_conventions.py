"""Fields of the ITK world: compared with what ITK itself does with them."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from conventions import itk_to_voxels


def _grids(oblique_affine):
    flipped = np.diag([-1.0, 1.0, 2.0, 1.0])
    permuted = np.eye(4)[[2, 0, 1, 3]] * 1.5
    permuted[3, 3] = 1.0
    return {"ras": np.eye(4), "flipped": flipped, "permuted": permuted, "oblique": oblique_affine}


@pytest.mark.parametrize("orientation", ["ras", "flipped", "permuted", "oblique"])
def test_warps_as_itk_does(orientation, tmp_path, oblique_grid, rng):
    affine = _grids(oblique_grid.affine)[orientation]
    shape = oblique_grid.shape
    moving = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5).astype(np.float32)
    nib.save(nib.Nifti1Image(moving, affine), tmp_path / "moving.nii")
    image = sitk.ReadImage(str(tmp_path / "moving.nii"))

    # Displacements in LPS mm, largest in the middle and nothing at the border.
    vectors = ndimage.gaussian_filter(rng.standard_normal((*shape, 3)), (3, 3, 3, 0))
    wx, wy, wz = np.ix_(*[np.hanning(n) for n in shape])
    vectors = vectors / np.abs(vectors).max() * 3 * (wx * wy * wz)[..., None]
    field = sitk.GetImageFromArray(np.transpose(vectors, (2, 1, 0, 3)), isVector=True)
    field.CopyInformation(image)
    transform = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    by_itk = sitk.GetArrayFromImage(sitk.Resample(image, image, transform, sitk.sitkLinear)).T

    disp = itk_to_voxels(vectors, np.array(image.GetDirection()), np.array(image.GetSpacing()))
    positions = np.indices(shape) + disp
    warped = ndimage.map_coordinates(moving, positions, order=1, mode="nearest")
    inside = np.all([(p > 0) & (p < n - 1) for p, n in zip(positions, shape, strict=True)], axis=0)
    assert inside.mean() > 0.5
    assert np.abs(disp).max() > 0.5
    np.testing.assert_allclose(warped[inside], by_itk[inside], atol=1e-5)


def test_unusable_fields_are_refused():
    with pytest.raises(ValueError, match="X, Y, Z, 3"):
        itk_to_voxels(np.zeros((3, 4, 5, 6)), np.eye(3), np.ones(3))
    with pytest.raises(ValueError, match="NaN"):
        itk_to_voxels(np.full((4, 5, 6, 3), np.nan), np.eye(3), np.ones(3))
