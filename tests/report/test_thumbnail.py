"""Thumbnails: of one size, small, quick, with outlines, and good ones look different from bad."""

import io
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from optreg.grid import Grid
from optreg.image import Image
from optreg.report.thumbnail import THUMBNAIL_PX, thumbnail
from optreg.transform import DisplacementField
from optreg.views import collect

pytest.importorskip("matplotlib")

TILE = THUMBNAIL_PX[0] // 3


def views_of(fixed, moving, disp):
    """Views of a registration of which no more than its field is known."""
    transform = DisplacementField(disp, fixed.grid, moving.grid)
    warped = transform.apply(moving).data
    return collect(
        SimpleNamespace(fixed=fixed, moving=moving, disp=disp, warped=warped, transform=transform)
    )


def pixels_of(data):
    from PIL import Image as Picture

    picture = Picture.open(io.BytesIO(data))
    assert picture.format == "JPEG" and picture.size == THUMBNAIL_PX
    return np.asarray(picture.convert("RGB"), int)


def tile(data, number):
    return pixels_of(data)[:, number * TILE : (number + 1) * TILE]


def teal(tile):
    """Pixels with the color of outlines: images have none, and the compression loses little."""
    return tile[..., 1] - tile[..., 0] > 30


@pytest.fixture(scope="module")
def warped_pair(blobs, smooth_disp):
    fixed = Image(DisplacementField(smooth_disp, blobs.grid).apply(blobs).data, blobs.grid, "f")
    return fixed, blobs


@pytest.fixture(scope="module")
def good(warped_pair, smooth_disp):
    return views_of(*warped_pair, smooth_disp)


@pytest.fixture(scope="module")
def bad(warped_pair, smooth_disp):
    away = np.zeros_like(smooth_disp)
    away[0] = 9
    return views_of(*warped_pair, away)


def test_size_and_time(good):
    data = thumbnail(good)  # imports what draws
    assert len(data) < 6_800
    spent = []
    for _ in range(5):
        start = time.perf_counter()
        thumbnail(good)
        spent.append(time.perf_counter() - start)
    assert min(spent) < 0.05


def test_bad_ones_are_bright_where_good_ones_are_dark(good, bad):
    left = [tile(thumbnail(views), 2).mean() for views in (good, bad)]
    assert left[1] > 26 * left[0]
    # The same fixed image is shown in both; the warped one is elsewhere.
    fixed, warped = (
        np.abs(tile(thumbnail(good), n) - tile(thumbnail(bad), n)).mean() for n in (0, 1)
    )
    assert fixed == 0 and warped > 36


def test_outlines_of_the_fixed_image_are_on_both_images(bad):
    on_fixed, on_warped, on_difference = (teal(tile(thumbnail(bad), n)) for n in range(3))
    assert on_fixed.sum() > 1800 and not on_difference.any()
    # On a shifted image, too, they are where the fixed image is.
    np.testing.assert_allclose(
        [np.flatnonzero(on_warped.any(axis=a))[[0, -1]] for a in (0, 1)],
        [np.flatnonzero(on_fixed.any(axis=a))[[0, -1]] for a in (0, 1)],
        atol=2,
    )


def test_outlines_follow_the_edge(good):
    # Three quarters of the head, so that nothing turned or flipped would fit.
    part = good.inside.copy()
    part[20:, 24:] = False
    drawn = tile(thumbnail(replace(good, fixed=part.astype(np.float32), inside=part)), 0)
    lines, white = teal(drawn), drawn[..., 1] > 100  # both are green enough
    # Two lines around it, on voxels of three pixels; flipped, there would be 646 elsewhere.
    within, beyond = (
        change(white, iterations=8) for change in (ndimage.binary_erosion, ndimage.binary_dilation)
    )
    assert lines.sum() > 1800 and (lines & (within | ~beyond)).sum() <= 1


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((40, 48, 1), (1, 1, 1)),
        ((40, 1, 48), (1, 1, 1)),
        ((1, 40, 48), (1, 1, 1)),
        ((40, 48, 6), (0.5, 3, 8)),
        ((64, 3, 64), (1, 0.1, 1)),
    ],
)
def test_slices_and_unequal_voxels(shape, spacing):
    position = np.indices(shape) - (np.array(shape).reshape(3, 1, 1, 1) - 1) / 2
    half = np.maximum(np.array(shape), 2).reshape(3, 1, 1, 1) / 2
    data = np.maximum(1 - ((position / half) ** 2).sum(axis=0), 0).astype(np.float32)
    image = Image(data, Grid(shape, np.diag([*spacing, 1])), "slice")
    picture = thumbnail(views_of(image, image, np.zeros((3, *shape), np.float32)))
    drawn = tile(picture, 0).max(axis=-1) > 60
    rows, columns = (np.ptp(np.flatnonzero(drawn.any(axis=a))) for a in (1, 0))
    across, upward = sorted(range(3), key=lambda a: shape[a])[1:]
    width, height = shape[across] * spacing[across], shape[upward] * spacing[upward]
    # As wide and high as it is in mm, within the rim that is too dark to be seen.
    assert columns / rows == pytest.approx(width / height, rel=0.12)


def test_thick_stacks_are_seen_in_the_plane_they_were_taken_in(blobs):
    # 5 of 48 rows of 40 by 44: the axial plane has 200 pixels, the coronal one 1760.
    data = np.ascontiguousarray(blobs.data[:, ::10])
    image = Image(data, Grid(data.shape, np.diag([1, 10, 1, 1])), "stack")
    drawn = tile(thumbnail(views_of(image, image, np.zeros((3, *data.shape), np.float32))), 0)
    shown = drawn.max(axis=-1) > 40
    middle = blobs.data[:, 20] > 0.05
    rows, columns = (np.ptp(np.flatnonzero(shown.any(axis=a))) for a in (1, 0))
    expected = [np.ptp(np.flatnonzero(middle.any(axis=a))) for a in (0, 1)]
    assert rows / columns == pytest.approx(expected[0] / expected[1], rel=0.1)


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_constant_images_are_drawn(blobs, value):
    image = Image(np.full(blobs.shape, value, np.float32), blobs.grid, "flat")
    picture = thumbnail(views_of(image, image, np.zeros((3, *blobs.shape), np.float32)))
    assert not teal(pixels_of(picture)).any()
