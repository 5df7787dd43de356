"""Planes, orientation and the volumes behind the pictures."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from oriented_grids import oriented
from scipy import ndimage

from optreg.grid import Grid
from optreg.image import Image
from optreg.transform import DisplacementField
from optreg.transform.canonical import Canonical
from optreg.views import PLANES, collect, foreground, nice_limit, tissue_levels

AXIAL, CORONAL, SAGITTAL = PLANES


def result_of(fixed, moving, disp):
    """The part of a registration that pictures are made from."""
    transform = DisplacementField(disp, fixed.grid, moving.grid)
    warped = transform.apply(moving).data
    return SimpleNamespace(
        fixed=fixed, moving=moving, disp=disp, warped=warped, transform=transform
    )


def test_pictures_show_left_on_the_left_and_top_on_top():
    grid = oriented("LPI", spacing=(1.0, 1.0, 1.0))
    mm = grid.voxel_to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    way = Canonical(grid)
    right, front, top = (way.volume(mm[..., a]) for a in range(3))
    for plane in (AXIAL, CORONAL):
        assert (np.diff(plane.picture(right, 3), axis=1) > 0).all(), "left is not on the left"
    assert (np.diff(SAGITTAL.picture(front, 3), axis=1) > 0).all()
    assert (np.diff(AXIAL.picture(front, 3), axis=0) < 0).all(), "front is not on top"
    for plane in (CORONAL, SAGITTAL):
        assert (np.diff(plane.picture(top, 3), axis=0) < 0).all()


def test_difference_is_blind_to_contrast_and_sees_displacement(blobs, smooth_disp):
    warp = DisplacementField(smooth_disp, blobs.grid)
    fixed = Image(warp.apply(blobs).data, blobs.grid)
    # Inverted and bent: another contrast of the same anatomy, zero outside.
    other = np.where(blobs.data > 0, 700 - 500 * np.sqrt(blobs.data), 0).astype(np.float32)
    views = collect(result_of(fixed, Image(other, blobs.grid), smooth_disp))
    heart = ndimage.binary_erosion(views.inside, iterations=3)
    assert views.after[heart].mean() < 0.07
    assert views.before[heart].mean() > 2 * views.after[heart].mean()


def test_volumes_are_cropped_alike_and_scaled(blobs, smooth_disp):
    image = Image(np.pad(blobs.data, 12), Grid.identity(tuple(n + 24 for n in blobs.shape)))
    labels = (image.data > 0.5).astype(np.uint8)
    views = collect(result_of(image, image, np.pad(smooth_disp, ((0, 0), *[(12, 12)] * 3))), labels)
    assert all(n < m for n, m in zip(views.fixed.shape, image.shape, strict=True))
    for name in ("fixed", "moving", "warped", "before", "after"):
        volume = getattr(views, name)
        assert volume.shape == views.fixed.shape and 0 <= volume.min() <= volume.max() <= 1
    assert views.labels["fixed"].shape == views.fixed.shape
    assert views.labels["fixed"].sum() == labels.sum()


def test_log_jacobian_and_folds():
    grid = Grid.identity((20, 20, 20))
    x = np.indices(grid.shape, dtype=np.float32)[0]
    fixed = Image(np.ones(grid.shape, np.float32), grid)
    disp = np.zeros((3, *grid.shape), np.float32)
    disp[0] = 0.1 * x
    views = collect(result_of(fixed, fixed, disp))
    np.testing.assert_allclose(views.log_jacobian[2:-2], np.log(1.1), rtol=1e-3)
    assert not views.folded.any()
    disp[0] = -2 * x
    views = collect(result_of(fixed, fixed, disp))
    assert views.folded[2:-2].all() and np.isfinite(views.log_jacobian).all()


def test_moving_image_on_another_grid_is_shown_where_it_is(blobs):
    fine = ndimage.zoom(blobs.data, 2, order=1, grid_mode=True, mode="nearest")
    grid = Grid(fine.shape, blobs.grid.affine @ np.diag([0.5, 0.5, 0.5, 1]))
    shifted = grid.affine.copy()
    shifted[:3, 3] -= 0.25
    still = np.zeros((3, *blobs.shape), np.float32)
    views = collect(result_of(blobs, Image(fine, Grid(fine.shape, shifted)), still))
    assert np.abs(views.moving - views.fixed)[views.inside].mean() < 0.05


def test_foreground_of_stripped_and_of_whole_heads(blobs, rng):
    np.testing.assert_array_equal(foreground(blobs.data), blobs.data > 0)
    noisy = rng.normal(10, 1, (20, 20, 20))
    noisy[5:15, 5:15, 5:15] += 100
    np.testing.assert_array_equal(foreground(noisy), noisy > 50)


def test_outlines_run_between_the_tissues():
    volume = np.zeros((30, 30, 30), np.float32)
    volume[2:28, 2:28, 2:28], volume[6:24, 6:24, 6:24] = 0.2, 0.5
    volume[10:20, 10:20, 10:20] = 0.9
    rim, border = tissue_levels(volume, volume > 0)
    assert 0 < rim < 0.2 and 0.5 < border < 0.9
    assert tissue_levels(volume, np.zeros(volume.shape, bool)) == []


@given(st.floats(0, 3))
def test_ends_of_scales_hold_the_value(value):
    assert value <= nice_limit(value) <= max(3 * value, 0.1)


def test_slices_are_inside_and_ordered(blobs, smooth_disp):
    views = collect(result_of(blobs, blobs, smooth_disp))
    for plane in PLANES:
        picks = views.slices(plane, 12)
        assert len(picks) == 12 and picks == sorted(set(picks))
        assert all(views.inside.take(i, axis=plane.axis).any() for i in picks)
        assert picks[0] <= views.fullest(plane) <= picks[-1]


def test_background_is_background_whatever_lies_on_it(blobs):
    """A poor field leaves much of the fixed image on the background of the moving one."""
    disp = np.zeros((3, *blobs.shape), np.float32)
    disp[1] = 12
    image = Image((200 * blobs.data).astype(np.uint8), blobs.grid, "head")
    found = collect(result_of(image, image, disp))
    alone = found.inside & (found.warped == 0)
    assert alone.sum() > 0.1 * found.inside.sum()
    empty = ~found.inside & (found.warped == 0)
    assert empty.any() and not found.after[empty].any()
    # All of the fixed image is left of the difference where the warped one shows nothing.
    np.testing.assert_allclose(found.after[alone], found.fixed[alone], atol=0.02)


def test_background_below_zero_is_background(blobs):
    data = np.where(blobs.data > 0, 100 * blobs.data, -1000).astype(np.float32)
    image = Image(data, blobs.grid, "CT")
    disp = np.zeros((3, *blobs.shape), np.float32)
    disp[0] = 3
    result = result_of(image, image, disp)
    result.warped = result.transform.apply(image, "linear", fill=-1000).data
    found = collect(result)
    empty = ~found.inside & (found.warped == 0)
    assert empty.any() and not found.after[empty].any()
