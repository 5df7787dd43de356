"""Axes brought into right, front, top order."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oriented_grids import oriented

from optreg.transform.canonical import Canonical


@pytest.mark.parametrize("code", ["RAS", "LPS", "PIR", "SLA", "AIL"])
def test_order_is_that_of_nibabel(code, rng):
    grid = oriented(code)
    data = rng.random(grid.shape)
    expected = nibabel.as_closest_canonical(nibabel.Nifti1Image(data, grid.affine))
    way = Canonical(grid)
    np.testing.assert_array_equal(way.volume(data), expected.get_fdata())
    np.testing.assert_allclose(way.grid.affine, expected.affine)
    assert way.grid.shape == expected.shape


@given(st.sampled_from(["RAS", "LPS", "PIR", "SLA", "AIL", "RSP"]), st.integers(0, 2**32 - 1))
def test_field_leads_where_it_led_before(code, seed):
    grid = oriented(code)
    rng = np.random.default_rng(seed)
    disp = rng.uniform(-1, 1, (3, *grid.shape)).astype(np.float32)
    way = Canonical(grid)
    turned = way.field(disp)
    assert turned.dtype == np.float32 and turned.flags.c_contiguous
    # Where a voxel is sent in the world: the order must not change it.
    here = np.moveaxis(np.indices(grid.shape).astype(float), 0, -1)
    target_mm = grid.voxel_to_world(here + np.moveaxis(disp, 0, -1))
    there = np.moveaxis(np.indices(way.grid.shape) + turned, 0, -1)
    expected = np.stack([way.volume(target_mm[..., a]) for a in range(3)], axis=-1)
    np.testing.assert_allclose(way.grid.voxel_to_world(there), expected, atol=1e-4)
    np.testing.assert_array_equal(way.field_back(turned), disp)
