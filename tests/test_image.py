import numpy as np
import pytest

from optreg.errors import GeometryError, InputError
from optreg.grid import Grid
from optreg.image import Image


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
