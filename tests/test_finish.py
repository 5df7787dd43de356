"""What a start does to volumes, and fields that contain it when they are exported."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic_heads import SHAPE, error_vox

import optreg
from optreg.finish import volume_change
from optreg.kernels import cpu
from optreg.transform import Affine

TURN = Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix()


def test_volumes_do_not_change_without_a_start():
    assert volume_change(None) == 1


@pytest.mark.parametrize("scales", [(1, 1, 1), (0.2, 0.3, 0.25), (4, 0.5, 3)])
def test_volume_change_does_not_depend_on_the_voxels(scales, oblique_grid):
    matrix = np.eye(4)
    matrix[:3] = np.column_stack([TURN @ np.diag(scales), [5, -3, 2]])
    for grid in (oblique_grid, optreg.Grid.identity((12, 14, 9))):
        found = volume_change(Affine(matrix).to_displacement(grid))
        assert found == pytest.approx(np.prod(scales), rel=1e-3)


def scaled_away(moving, scale):
    """Moving image with voxels of another size about the same centre, and the map to it."""
    matrix = np.diag([scale, scale, scale, 1.0])
    matrix[:3, 3] = (1 - scale) * (np.array(SHAPE) - 1) / 2
    return optreg.Image(moving, optreg.Grid(SHAPE, matrix)), Affine(matrix)


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("scale", [0.2, 0.5, 4.0])
def test_a_start_that_scales_costs_nothing(scale, refine, pair):
    """The same two arrays, whatever the header of one says about the size of its voxels."""
    fixed, moving, truth = pair
    given = {"preset": "fast", "device": "cpu"}
    plain = optreg.register(fixed, moving, init=None, **given)
    there, start = scaled_away(moving, scale)
    if refine:
        given |= {"refine": True}
        plain = optreg.register(fixed, moving, init=0 * truth, **given)
    found = optreg.register(fixed, there, init=start, **given)
    points = np.argwhere(fixed > 0)
    apart = found.transform.to_points(points) - plain.transform.to_points(points)
    assert np.linalg.norm(apart, axis=1).mean() < 0.01
    assert error_vox(plain.disp, truth, fixed > 0).mean() < error_vox(0, truth, fixed > 0).mean()
    for field in (found.disp, found.inverse):
        assert cpu.minimum_determinant(field).min() > 0
        assert cpu.folding_sums(field).folded_voxels == 0
