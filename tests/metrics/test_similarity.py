"""Local correlation against its definition, window by window."""

from __future__ import annotations

import numpy as np
import pytest

from optreg.errors import InputError
from optreg.grid import Grid
from optreg.image import Image
from optreg.metrics import local_correlation


@pytest.fixture
def images(rng):
    fixed = rng.random((9, 10, 11))
    return fixed, 0.6 * fixed + 0.4 * rng.random(fixed.shape)


def test_is_the_mean_squared_correlation_of_windows(images):
    # Inside, where no window reaches over the border.
    mask = np.zeros(images[0].shape)
    mask[2:-2, 2:-2, 2:-2] = 1
    expected = [
        np.corrcoef(*(i[x - 2 : x + 3, y - 2 : y + 3, z - 2 : z + 3].ravel() for i in images))[0, 1]
        ** 2
        for x, y, z in np.argwhere(mask)
    ]
    assert local_correlation(*images, mask) == pytest.approx(np.mean(expected), rel=1e-9)


def test_is_blind_to_contrast_and_to_flat_regions(images):
    fixed, other = images
    assert local_correlation(fixed, 5 - 3 * fixed) == pytest.approx(1, abs=1e-6)
    assert local_correlation(fixed, 100 - 7 * other) == pytest.approx(local_correlation(*images))
    assert local_correlation(fixed, np.ones_like(fixed)) == 0


def test_images_of_two_shapes_are_refused(images):
    with pytest.raises(InputError, match="both must be on one grid"):
        local_correlation(images[0], images[1][1:])


def test_images_with_a_grid_are_compared_where_they_are(images):
    mask = (images[0] > 0.5).astype(np.uint8)
    grid = Grid(images[0].shape, np.diag([2.0, 1, 1, 1]))
    given = [Image(data, grid) for data in (*images, mask)]
    expected = local_correlation(*images, mask)
    assert local_correlation(*given) == expected
    assert local_correlation(images[0], given[1], mask) == expected
    elsewhere = Image(mask, Grid.identity(mask.shape))
    with pytest.raises(InputError, match="mask and fixed image are on two grids"):
        local_correlation(*given[:2], elsewhere)
    with pytest.raises(InputError, match="warped image: str cannot be used as it is; give an arr"):
        local_correlation(images[0], "warped.nii.gz")
