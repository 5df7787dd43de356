from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optreg.features.mind import average_pool, pooled_mind
from optreg.kernels import get_backend

BACKEND = get_backend("cpu")


@pytest.mark.parametrize("spacing", [2, 3, 4])
def test_average_pool_is_the_mean_of_each_cube(spacing):
    shape = tuple(n * spacing for n in (2, 3, 4))
    volume = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    pooled = average_pool(volume, spacing)
    assert pooled.shape == (2, 2, 3, 4) and pooled.dtype == np.float32
    for x, y, z in np.ndindex(2, 3, 4):
        cube = tuple(slice(spacing * i, spacing * (i + 1)) for i in (x, y, z))
        expected = volume[(slice(None), *cube)].mean(axis=(1, 2, 3))
        assert np.allclose(pooled[:, x, y, z], expected, atol=1e-6)


@settings(max_examples=15)
@given(st.floats(0.1, 10.0), st.booleans(), st.floats(-1.0, 1.0), st.sampled_from([(1, 2), (2, 1)]))
def test_contrast_does_not_matter(blobs, scale, inverted, shift, mind):
    image = blobs.data
    changed = ((-scale if inverted else scale) * image + shift).astype(np.float32)
    expected = pooled_mind(image, 4, BACKEND, *mind)
    # The sum is rounded in float32; what is lost is small beside the contrast in most cells.
    assert np.abs(pooled_mind(changed, 4, BACKEND, *mind) - expected).mean() < 1e-3


@pytest.mark.parametrize("shape", [(8, 9, 10), (13, 8, 16), (8, 8, 8)])
@pytest.mark.parametrize("spacing", [3, 4, 6])
def test_sizes_that_the_spacing_does_not_divide(shape, spacing):
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    pooled = pooled_mind(image, spacing, BACKEND)
    cells = tuple(-(-n // spacing) for n in shape)
    assert pooled.shape == (12, *cells)
    # Cells that lie inside, features and all, know nothing of the filling.
    full = BACKEND.kernels.mind_ssc(image)
    inside = full[:, :spacing, :spacing, :spacing].mean(axis=(1, 2, 3))
    if not any(n % spacing for n in shape):
        assert np.allclose(pooled[:, 0, 0, 0], inside, atol=1e-6)
    assert np.abs(pooled[:, 0, 0, 0] - inside).max() < 0.1


def test_at_least_two_cells_for_interpolation():
    image = np.random.default_rng(0).random((8, 20, 8), dtype=np.float32)
    assert pooled_mind(image, 10, BACKEND).shape == (12, 2, 2, 2)
