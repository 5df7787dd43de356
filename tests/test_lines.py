"""Outlines and deformed grid: they are where image and field say."""

from types import SimpleNamespace

import numpy as np
import pytest

from optreg.grid import Grid
from optreg.image import Image
from optreg.lines import grid_lines, isolines, outlines
from optreg.transform import DisplacementField
from optreg.views import PLANES, collect

pytest.importorskip("contourpy")


def views_of(disp, spacing=1.0):
    grid = Grid(disp.shape[1:], np.diag([spacing, spacing, spacing, 1.0]))
    image = Image(np.ones(grid.shape, np.float32), grid)
    field = DisplacementField(disp, grid)
    return collect(
        SimpleNamespace(fixed=image, moving=image, disp=disp, warped=image.data, transform=field)
    )


def test_isolines_are_where_the_value_is():
    x, y = np.meshgrid(np.arange(10.0), np.arange(12.0), indexing="ij")
    (line,) = isolines(x + 0 * y, [3.25])
    np.testing.assert_allclose(line[:, 0], 3.25)
    assert line[:, 1].min() == 0 and line[:, 1].max() == 11


def test_undeformed_grid_is_regular():
    views = views_of(np.zeros((3, 24, 20, 16), np.float32), spacing=2.0)
    lines = grid_lines(views, PLANES[0], 5, step_mm=10.0)
    vertical = [line for line in lines if np.ptp(line[:, 0]) < 1e-9]
    horizontal = [line for line in lines if np.ptp(line[:, 1]) < 1e-9]
    assert len(vertical) + len(horizontal) == len(lines)
    assert sorted(line[0, 0] for line in vertical) == pytest.approx([0, 5, 10, 15, 20])
    assert sorted(line[0, 1] for line in horizontal) == pytest.approx([0, 5, 10, 15])


def test_grid_moves_with_the_warped_image():
    # warped(x) = moving(x + 3): what was at 8 in the moving image is seen at 5.
    disp = np.zeros((3, 24, 20, 16), np.float32)
    disp[0] = 3
    lines = grid_lines(views_of(disp), PLANES[0], 5, step_mm=8.0)
    vertical = sorted(line[0, 0] for line in lines if np.ptp(line[:, 0]) < 1e-9)
    assert vertical == pytest.approx([5, 13, 21])


def test_outlines_follow_each_label():
    views = views_of(np.zeros((3, 24, 24, 24), np.float32))
    labels = np.zeros((24, 24, 24), np.uint8)
    labels[4:10, 5:15], labels[14:20, 5:15] = 1, 7
    views.labels["fixed"] = labels
    lines = outlines(views, PLANES[0], 12)
    assert len(lines) == 2
    first, second = sorted(lines, key=lambda line: line[:, 0].min())
    np.testing.assert_allclose(first.min(axis=0), [3.5, 4.5], atol=0.1)
    np.testing.assert_allclose(second.max(axis=0), [19.5, 14.5], atol=0.1)
