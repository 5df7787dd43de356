"""SimpleITK's search from our starts: known maps are found, in another contrast too."""

from __future__ import annotations

import numpy as np
import pytest

from optreg.affine import align
from optreg.grid import Grid
from optreg.image import Image
from optreg.kernels import thread_limit

# Nothing of the object is rotated onto itself by these.
MOTIONS = [([12, -9, 8], [5.0, -14, 20]), ([-20, 10, 18], [-25.0, 8, 12])]


@pytest.mark.parametrize(("degrees", "shift_mm"), MOTIONS)
@pytest.mark.parametrize("contrast", [lambda x: x, lambda x: 1.1 - x], ids=["same", "inverted"])
def test_rigid_motion_is_found(degrees, shift_mm, contrast, blobs, map_about, moved_by, error_mm):
    truth = map_about(degrees, shift_mm)
    found = align(blobs, moved_by(truth, contrast), model="sitk-rigid")
    assert error_mm(found, truth) < 0.5
    np.testing.assert_allclose(found.matrix[:3, :3] @ found.matrix[:3, :3].T, np.eye(3), atol=1e-9)


def test_each_group_finds_what_it_can(blobs, map_about, moved_by, error_mm):
    moving = moved_by(truth := map_about([0.0, 0, 0], [6.0, -4, 9]))
    found = align(blobs, moving, model="sitk-translation")
    np.testing.assert_allclose(found.matrix[:3, :3], np.eye(3), atol=1e-9)
    assert error_mm(found, truth) < 0.3
    moving = moved_by(truth := map_about([10, -6, 4], [6.0, -4, 9], 1.1))
    found = align(blobs, moving, model="sitk-similarity")
    linear = found.matrix[:3, :3]
    scale = np.linalg.det(linear) ** (1 / 3)
    np.testing.assert_allclose(linear @ linear.T, scale**2 * np.eye(3), atol=1e-9)
    assert scale == pytest.approx(1.1, abs=0.01) and error_mm(found, truth) < 0.6
    moving = moved_by(truth := map_about([10, -6, 4], [6.0, -4, 9], np.diag([1.1, 0.95, 1.04])))
    found = align(blobs, moving, model="sitk-affine")
    assert error_mm(found, truth) < 0.7


def test_the_world_may_be_turned(blobs, map_about, error_mm):
    truth = map_about([-20, 10, 18], [-25.0, 8, 12])
    moving = Image(blobs.data, Grid(blobs.shape, truth.matrix @ blobs.grid.affine))
    assert error_mm(align(blobs, moving, model="sitk-rigid"), truth) < 0.5


def test_result_is_the_same_again(blobs, map_about, moved_by):
    moving = moved_by(map_about([5, 9, -12], [3.0, -7, 4]))
    found = []
    for threads in (1, None):
        with thread_limit(threads):
            found.append(align(blobs, moving, model="sitk-rigid").matrix)
    # ITK adds up in an order of its own.
    np.testing.assert_allclose(*found, atol=1e-9)
