"""Single slices: in their plane, in any of the three, in memory and as files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from synthetic_heads import one_head, smooth_noise

import optreg
from optreg.errors import ConfigError, GeometryError, InputError
from optreg.metrics.folding import count_folds, sdlogj
from optreg.transform import DisplacementField

SHAPE = (96, 112)


def warped(image, truth):
    positions = np.indices(SHAPE) + truth
    return ndimage.map_coordinates(image, positions, order=1, mode="nearest")


@pytest.fixture(scope="module")
def flat_pair():
    """A slice of the head at twice its resolution, and its deformation by a known field."""
    moving = ndimage.zoom(one_head()[:, :, 22], 2, order=1)
    truth = ndimage.zoom(smooth_noise(5, 7, 3)[:2, :, :, 22], (1, 2, 2), order=1)
    truth = 4 * truth / np.abs(truth).max()
    noise = 0.03 * np.random.default_rng(1).standard_normal((2, *SHAPE))
    fixed = warped(moving, truth)
    clean = np.where(fixed > 0.2, fixed + noise[0], 0), np.where(moving > 0.2, moving + noise[1], 0)
    return *(image.astype(np.float32) for image in clean), truth.astype(np.float32)


@pytest.fixture(scope="module")
def flat_result(flat_pair):
    return optreg.register(*flat_pair[:2])


def placed(image, axis):
    """The slice across an array axis."""
    data = np.expand_dims(image, axis)
    return optreg.Image(data, optreg.Grid(data.shape, np.eye(4)))


def test_known_deformation_is_recovered(flat_pair, flat_result):
    fixed, _, truth = flat_pair
    assert flat_result.disp.shape == flat_result.inverse.shape == (3, *SHAPE, 1)
    assert not flat_result.disp[2].any() and not flat_result.inverse[2].any()
    inside = fixed > 0
    error = np.sqrt(((flat_result.disp[:2, :, :, 0] - truth) ** 2).sum(axis=0))[inside].mean()
    before = np.sqrt((truth**2).sum(axis=0))[inside].mean()
    assert before > 1 and error < 0.3 * before
    assert flat_result.quality["folded_voxels"] == 0
    assert flat_result.quality["inverse_consistency_mean_vox"] < 0.05


def test_every_plane_is_like_the_other(flat_pair, flat_result):
    for axis in range(3):
        found = optreg.register(*(placed(image, axis) for image in flat_pair[:2]))
        in_plane = [a for a in range(3) if a != axis]
        apart = found.disp.take(0, axis=1 + axis)[in_plane] - flat_result.disp[:2, :, :, 0]
        # The order of sums depends on the order of the axes, and windows skip along two of them.
        assert np.abs(apart)[:, flat_pair[0] > 0].mean() < 0.1
        assert not found.disp[axis].any()


def test_moving_slice_of_another_resolution(flat_pair, flat_result):
    coarse = np.diag([2.0, 2.0, 5.0, 1.0])
    coarse[:2, 3] = 0.5
    half = flat_pair[1].reshape(48, 2, 56, 2).mean(axis=(1, 3))[:, :, None].astype(np.float32)
    found = optreg.register(
        placed(flat_pair[0], 2), optreg.Image(half, optreg.Grid(half.shape, coarse))
    )
    assert np.abs(found.disp - flat_result.disp)[:, flat_pair[0] > 0].mean() < 0.3
    assert found.warped.shape == (*SHAPE, 1)
    assert np.abs(found.warped - flat_result.warped)[flat_pair[0] > 0].mean() < 0.25


def test_mask_start_and_channels(flat_pair, flat_result):
    fixed, moving, _ = (image[..., None] for image in flat_pair)
    mask = np.ones(SHAPE, np.uint8)
    mask[40:56, 40:60] = 0
    spoiled = np.where(mask[..., None] > 0, fixed, np.float32(1))
    found = optreg.register([spoiled] * 2, [moving] * 2, fixed_mask=mask[..., None])
    counted = (fixed > 0) & (mask[..., None] > 0)
    assert np.abs(found.disp - flat_result.disp)[:, counted].mean() < 0.2
    refined = optreg.register(fixed, moving, init=flat_result.disp, refine=True)
    assert np.abs(refined.disp - flat_result.disp)[:, fixed > 0].mean() < 0.2
    assert refined.quality["folded_voxels"] == 0


def test_field_of_a_slice_works_like_any_other(flat_pair, flat_result):
    moving = flat_pair[1]
    transform = flat_result.transform
    expected = warped(moving, flat_result.disp[:2, :, :, 0])
    away = np.abs(ndimage.uniform_filter(expected, 5)) > 0
    assert np.allclose(transform.apply(moving[..., None])[..., 0][away], expected[away], atol=1e-4)
    there_and_back = transform.compose(transform.invert()).disp
    assert np.abs(there_and_back)[:, flat_pair[0] > 0].mean() < 0.02
    points = [[40.0, 50.0, 0.0]]
    assert np.allclose(
        transform.to_points(points)[0], points[0] + flat_result.disp[:, 40, 50, 0], atol=1e-5
    )
    u, v = flat_result.disp[:2, :, :, 0].astype(np.float64)
    (ux, uy), (vx, vy) = np.gradient(u), np.gradient(v)
    determinant = (1 + ux) * (1 + vy) - uy * vx
    inner = (slice(1, -1), slice(1, -1))
    assert np.allclose(transform.jacobian()[..., 0][inner], determinant[inner], atol=1e-4)
    assert sdlogj(flat_result.disp) == pytest.approx(np.log(determinant[inner]).std(), rel=1e-3)


def test_folds_of_a_slice_are_counted():
    disp = np.zeros((3, 20, 20, 1), np.float32)
    disp[0, 10] = -3
    sums = count_folds(disp)
    assert sums.mask_voxels == 18 * 18 and sums.folded_voxels > 0
    assert count_folds(0 * disp).folded_voxels == 0


def test_slices_that_do_not_belong_together(flat_pair, pair):
    fixed, moving = (placed(image, 2) for image in flat_pair[:2])
    for volumes in ((fixed, pair[1]), (pair[0], moving)):
        with pytest.raises(GeometryError, match="single slice cannot be registered to a volume"):
            optreg.register(*volumes)
    affine = np.eye(4)
    affine[2, 3] = 3
    for other in (placed(flat_pair[1], 1), replace(moving, grid=optreg.Grid((96, 112, 1), affine))):
        with pytest.raises(GeometryError, match="different planes"):
            optreg.register(fixed, other)
    turned = optreg.Grid(fixed.shape, np.diag([-1.0, -1.0, 1.0, 1.0]))
    for slices in ((fixed, moving), (replace(fixed, grid=turned), replace(moving, grid=turned))):
        with pytest.raises(ConfigError, match="aligns volumes"):
            optreg.register(*slices, init="affine")
    with pytest.raises(InputError, match="or one for a single slice"):
        optreg.register(fixed, np.ones((96, 1, 1)))


@pytest.mark.parametrize(("apart_mm", "tilt_degrees"), [(2.0, 0.0), (0.0, 2.0)])
def test_slices_that_are_nearly_in_one_plane(flat_pair, apart_mm, tilt_degrees):
    fixed, moving = (placed(image, 2) for image in flat_pair[:2])
    thick = optreg.Grid(fixed.shape, np.diag([1.0, 1.0, 6.0, 1.0]))
    angle, centre = np.deg2rad(tilt_degrees), np.array([47.5, 55.5, 0.0])
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:3, 3] = centre - affine[:3, :3] @ centre + [0, 0, apart_mm]
    near = replace(moving, grid=optreg.Grid(moving.shape, affine))
    result = optreg.register(replace(fixed, grid=thick), near, preset="fast")
    seen = fixed.data > 0
    assert (result.warped[seen] > 0).mean() > 0.9
    assert np.corrcoef(result.warped[seen], fixed.data[seen])[0, 1] > 0.8


def test_identity_of_a_slice():
    still = DisplacementField.identity(optreg.Grid.identity((8, 1, 9)))
    data = np.random.default_rng(0).random((8, 1, 9)).astype(np.float32)
    for how in ("linear", "nearest", "label"):
        volume = (9 * data).astype(np.uint8) if how == "label" else data
        assert np.allclose(still.apply(volume, how), volume, atol=1e-7)


def test_pictures_show_the_plane_of_the_slice(flat_result):
    from optreg.plot import overview

    figure = overview(flat_result)
    assert len(figure.axes) == 7 + 2  # one row, and two scales
    widths = {round(axes.get_position().width, 3) for axes in figure.axes[:7]}
    assert len(widths) == 1


def test_labels_of_a_slice(flat_pair):
    fixed, moving, _ = flat_pair
    labels = np.digitize(moving, [0.2, 1.5, 2.5]).astype(np.uint8)[..., None]
    truth = np.digitize(fixed, [0.2, 1.5, 2.5])[..., None]
    found = optreg.propagate(fixed[..., None], [(moving[..., None], labels)], preset="fast")
    before = (labels == truth)[truth > 0].mean()
    assert (found.labels.data == truth)[truth > 0].mean() > before + 0.1
