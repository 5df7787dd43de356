"""The same images stored otherwise: the same result in the world."""

from __future__ import annotations

import numpy as np
import pytest
from oriented_grids import oriented
from synthetic_heads import SHAPE

import optreg

AFFINE = np.diag([1.0, 1.0, 1.0, 1.0])
AFFINE[:3, 3] = -20, 5, 7
ORDERS = ["LAS", "RPS", "LPI", "ASR", "SRA", "PIL", "ARS", "IPR"]


def stored(data, code):
    """Image with array axes along these directions, by its definition: voxel by voxel."""
    affine = oriented(code, spacing=(1, 1, 1)).affine.copy()
    axes, signs = np.abs(affine[:3, :3]).argmax(axis=0), affine[:3, :3].sum(axis=0).astype(int)
    data = data.transpose(axes)[tuple(slice(None, None, s) for s in signs)]
    flipped = affine[:3, :3].sum(axis=1) < 0
    affine[:3, 3] = AFFINE[:3, 3] + np.where(flipped, np.array(SHAPE) - 1, 0)
    return optreg.Image(np.ascontiguousarray(data), optreg.Grid(data.shape, affine))


@pytest.fixture(scope="module")
def expected(pair):
    return optreg.register(stored(pair[0], "RAS"), stored(pair[1], "RAS"), preset="fast")


def apart_mm(found, expected, pair):
    """Displacements in the world at the same points of it, in the foreground."""
    world = expected.fixed.grid.voxel_to_world(np.argwhere(pair[0] > 0))
    index = np.rint(found.fixed.grid.world_to_voxel(world)).astype(int)
    there = found.transform.to_mm()[(slice(None), *index.T)]
    wanted = expected.transform.to_mm()[(slice(None), *np.argwhere(pair[0] > 0).T)]
    return np.abs(there - wanted)


@pytest.mark.parametrize("code", ORDERS)
@pytest.mark.parametrize("moving_code", ["same", "RAS"])
def test_result_does_not_depend_on_the_order_of_axes(pair, expected, code, moving_code):
    moving = stored(pair[1], code if moving_code == "same" else moving_code)
    found = optreg.register(stored(pair[0], code), moving, preset="fast")
    assert found.fixed.grid.orientation == code
    assert apart_mm(found, expected, pair).max() < 1e-4
    assert found.quality == pytest.approx(expected.quality)
    turned = stored(expected.warped, code).data
    assert np.allclose(found.warped, turned, atol=1e-4)


def test_start_mask_and_axes_are_turned_as_well(pair):
    fixed, moving, truth = pair
    mask = np.ones(SHAPE, np.uint8)
    mask[:20] = 0
    rough = (0.5 * truth).astype(np.float32)
    plain = optreg.register(
        stored(fixed, "RAS"), stored(moving, "RAS"), preset="fast", fixed_mask=mask, axes="j",
        init=rough,
    )  # fmt: skip
    # Array axes front, top, right: of the field, components as well as axes.
    turned = np.ascontiguousarray(rough[[1, 2, 0]].transpose(0, 2, 3, 1))
    found = optreg.register(
        stored(fixed, "ASR"), stored(moving, "ASR"), preset="fast", axes="i",
        fixed_mask=stored(mask, "ASR").data, init=turned,
    )  # fmt: skip
    assert apart_mm(found, plain, pair).max() < 1e-3
