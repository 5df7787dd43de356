import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from optreg.errors import GeometryError, InputError
from optreg.grid import Grid
from optreg.image import Image, array_of


def test_array_without_geometry_gets_1_mm_voxels():
    data = np.zeros((4, 5, 6), np.uint8)
    image = Image.from_array(data, "scan")
    assert image.data is data
    assert image.shape == (4, 5, 6)
    assert image.grid.same_as(Grid.identity((4, 5, 6)))


def test_data_must_fit_the_grid():
    with pytest.raises(GeometryError, match=r"scan: data \(4, 5, 6\) do not fit the grid"):
        Image(np.zeros((4, 5, 6)), Grid.identity((4, 6, 5)), "scan")


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 6, 1)])
def test_only_three_dimensions(shape):
    with pytest.raises(InputError, match="one 3-D volume is needed"):
        Image(np.zeros(shape), Grid.identity((4, 5, 6)))
    if len(shape) == 2:  # a slice
        assert Image.from_array(np.zeros(shape)).shape == (4, 5, 1)
    else:
        with pytest.raises(InputError, match="one 3-D volume is needed"):
            Image.from_array(np.zeros(shape))


class Placed:
    """An array of another library, with a place in the world that NumPy does not see."""

    affine = 2 * np.eye(4)

    def __array__(self, dtype=None, copy=None):
        return np.zeros((9, 9, 9))


OTHERS = {
    "nibabel.nifti1.Nifti1Image": nib.Nifti1Image(np.zeros((9, 9, 9), np.float32), np.eye(4)),
    "SimpleITK.SimpleITK.Image": sitk.Image(9, 9, 9, sitk.sitkFloat32),
    f"{__name__}.Placed": Placed(),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_images_of_other_libraries_are_not_taken_for_arrays(kind):
    with pytest.raises(InputError, match=f"scan: {kind} cannot be .* give the path, or optreg.Ima"):
        Image.from_array(OTHERS[kind], "scan")


@pytest.mark.parametrize("thing", [None, 3, "a.nii", ["a.nii"], [[1, 2], [3]], object()])
def test_what_is_no_array_is_refused(thing):
    with pytest.raises(InputError, match=r"scan: .*cannot be used as it is; give another"):
        array_of(thing, "scan", "give another")


def test_what_numpy_makes_an_array_of_is_one():
    data = np.arange(120).reshape(4, 5, 6)
    for like in (data.tolist(), memoryview(data)):
        image = Image.from_array(like)
        assert image.shape == (4, 5, 6) and np.array_equal(image.data, data)
    assert array_of(data, "scan") is data
    with pytest.raises(InputError, match="scan: array of 1 dimensions"):
        Image.from_array([1, 2, 3], "scan")
