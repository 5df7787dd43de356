"""Cubic interpolation of every backend against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from random_volumes import SHAPES, close, fields, volumes

from optreg.kernels import reference


@pytest.mark.parametrize("shape", SHAPES)
def test_cubic_interpolation(kernels, shape):
    volume, disp = volumes(shape, 3), fields(shape, 10, 3.0)
    coefficients = kernels.spline_coefficients(volume)
    close(coefficients, reference.spline_coefficients(volume), 2e-6)
    position = np.indices(shape) + disp
    inner = (position >= 1) & (position <= np.array(shape).reshape(3, 1, 1, 1) - 2)
    marked = np.flatnonzero(inner.all(axis=0))
    assert len(marked) > 50
    expected = reference.cubic_at(volume, coefficients.astype(float), disp, marked)
    close(kernels.cubic_at(volume, coefficients, disp, marked), expected, 2e-6)
    # At the voxels themselves it is the volume, near them the spline is close to it.
    voxels, inside = np.arange(volume.size), (slice(2, -2),) * 3
    still = kernels.cubic_at(volume, coefficients, 0 * disp, voxels).reshape(shape)
    assert np.array_equal(still, volume)
    beside = kernels.cubic_at(volume, coefficients, 0 * disp + np.float32(1e-3), voxels)
    assert 0 < np.abs(beside.reshape(shape) - volume)[inside].max() < 0.01
    everywhere = kernels.cubic_at(volume, coefficients, 50 * disp, voxels)
    assert np.isfinite(everywhere).all()
