"""What the kernels of every backend do at and around some voxels, against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from random_volumes import SHAPES, close, fields

from optreg.kernels import reference


def test_unfold(kernels):
    disp = fields(SHAPES[0], 7, 2.0)
    marked = np.flatnonzero(np.random.default_rng(0).random(SHAPES[0]) < 0.3)
    close(
        kernels.minimum_determinant_at(disp, marked), reference.minimum_determinant_at(disp, marked)
    )
    everywhere = np.arange(disp[0].size)
    at_all = kernels.minimum_determinant_at(disp, everywhere).reshape(SHAPES[0])
    assert np.allclose(at_all, kernels.minimum_determinant(disp), atol=1e-6)
    close(kernels.smooth_marked(disp.copy(), marked), reference.smooth_marked(disp.copy(), marked))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_neighbours(kernels, shape, corners, rounds):
    rng = np.random.default_rng(3)
    parts = [np.flatnonzero(rng.random(shape) < share) for share in (0.004, 0.02)]
    parts.append(np.array([0, np.prod(shape) - 1, 0]))  # the ends of the volume, one of them twice
    found = np.sort(kernels.spread(parts, shape, corners, rounds))
    assert np.array_equal(found, reference.spread(parts, shape, corners, rounds))
    assert len(kernels.spread([parts[0][:0]], shape, corners, rounds)) == 0


def test_landing(kernels):
    disp = fields(SHAPES[0], 9, 6.0)
    disp[:, 3, 4, 5] = [0.5, 1.5, -1e9]  # halves go to even numbers; far out is the border
    disp[:, 0, 0, 0] = np.inf
    marked = np.flatnonzero(np.random.default_rng(4).random(SHAPES[0]) < 0.2)
    marked = np.append(marked, np.ravel_multi_index((3, 4, 5), SHAPES[0]))
    assert np.array_equal(kernels.landing(disp, marked), reference.landing(disp, marked))
    assert kernels.landing(disp, np.array([0]))[0] == disp[0].size - 1
    disp[:, 0, 0, 0] = np.nan
    assert 0 <= kernels.landing(disp, np.array([0]))[0] < disp[0].size
