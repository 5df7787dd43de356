"""What is done to images on purpose, against definitions of it."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from experiments import perturbations as p
from optreg import Grid, Image

SPACING = np.array([1.0, 2.0, 0.5])


@pytest.fixture
def plain():
    """An ellipsoid of one intensity on a grid of unequal spacing."""
    shape = (30, 24, 60)
    position = (np.indices(shape).T - (np.array(shape) - 1) / 2) * SPACING
    inside = (np.linalg.norm(position / [12, 18, 12], axis=-1) < 1).T
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = [-10, 5, 30]
    return Image(np.where(inside, 100.0, 0).astype(np.float32), Grid(shape, affine))


def _values_at(image, world):
    voxels = image.grid.world_to_voxel(world)
    return ndimage.map_coordinates(image.data.astype(float), voxels.T, order=1)


def _same_background(before, after):
    return np.array_equal(before.data > 0, after.data > 0)


def test_scaling(blobs):
    assert p.scaled(blobs, 1000.0).data == pytest.approx(1000 * blobs.data)


def test_gamma_is_the_slope_of_the_logarithms(blobs):
    changed = p.with_gamma(blobs, 1.5)
    bright = blobs.data > 0.2  # what is darker meets the smallest value
    slope, _ = np.polyfit(np.log(blobs.data[bright]), np.log(changed.data[bright]), 1)
    assert slope == pytest.approx(1.5, abs=1e-4)
    top = np.percentile(blobs.data[blobs.data > 0], 99)
    at_top = np.abs(blobs.data - top) < 1e-3
    assert changed.data[at_top] == pytest.approx(blobs.data[at_top], abs=2e-3)
    assert _same_background(blobs, changed)


def test_offset_spares_the_background(plain):
    changed = p.with_offset(plain, 0.3)
    assert set(np.unique(changed.data)) == {0, 130}


@pytest.mark.parametrize("strength", [0.4, 0.8])
def test_bias_is_a_quadratic_of_the_strength_asked_for(plain, strength):
    changed = p.with_bias(plain, strength)
    inside = plain.data > 0
    field = changed.data[inside] / 100
    assert field.min() == pytest.approx(1 - strength / 2, abs=1e-5)
    assert field.max() == pytest.approx(1 + strength / 2, abs=1e-5)
    voxels = np.argwhere(inside) / 30.0
    powers = [voxels[:, a] * voxels[:, b] for a in range(3) for b in range(a, 3)]
    columns = np.stack([np.ones(len(voxels)), *voxels.T, *powers], axis=1)
    _, rest, rank, _ = np.linalg.lstsq(columns, field, rcond=None)
    assert rank == 10 and rest[0] / len(field) < 1e-10
    assert field.std() > 0.1 * strength and _same_background(plain, changed)


def test_noise_has_the_second_moment_of_rice(plain):
    changed = p.with_noise(plain, 0.09)
    square = np.mean(np.square(changed.data[plain.data > 0], dtype=float))
    assert square == pytest.approx(100**2 + 2 * 9**2, rel=5e-3)
    assert changed.data[plain.data > 0].std() == pytest.approx(9, rel=0.03)
    assert _same_background(plain, changed)
    assert not np.array_equal(changed.data, p.with_noise(plain, 0.09, seed=1).data)


def test_thick_slices_keep_what_is_linear_and_blur_what_is_thin(plain):
    assert p.with_thick_slices(plain, 3.0).data == pytest.approx(plain.data, rel=1e-5)
    block = np.zeros((9, 9, 60), np.float32)
    block[2:7, 2:7, 5:55] = 10 + np.arange(50)
    ramp = Image(block, Grid(block.shape, np.diag([*SPACING, 1.0])))
    changed = p.with_thick_slices(ramp, 2.5)
    middle = np.s_[4, 4, 12:48]
    assert changed.data[middle] == pytest.approx(block[middle], abs=1e-4)
    assert p.with_thick_slices(ramp, 0.5).data == pytest.approx(block)
    thin = ramp.data.copy()
    thin[2:7, 2:7, 5:55] = 1
    thin[4, 4, 27] = 101
    changed = p.with_thick_slices(Image(thin, ramp.grid), 2.5).data[4, 4]
    assert changed.max() == pytest.approx(21, rel=1e-4)  # 5 voxels to a slice


def test_erosion_goes_by_distance(plain):
    changed = p.eroded(plain, 2.5)
    inside, outside = (np.argwhere(m) for m in (plain.data > 0, plain.data <= 0))
    distance, _ = cKDTree(outside * SPACING).query(inside * SPACING)
    assert np.array_equal(changed.data[tuple(inside.T)] > 0, distance > 2.5)
    assert 0 < (changed.data > 0).sum() < len(inside)


def test_rim_lies_around_the_foreground(plain):
    changed = p.with_rim(plain, 3.0)
    inside, outside = (np.argwhere(m) for m in (plain.data > 0, plain.data <= 0))
    assert np.array_equal(changed.data[plain.data > 0], plain.data[plain.data > 0])
    distance, _ = cKDTree(inside * SPACING).query(outside * SPACING)
    filled = changed.data[tuple(outside.T)] > 0
    assert distance[filled].max() <= 3.0
    assert 0.2 < filled[distance <= 3.0].mean() < 0.8
    values = changed.data[tuple(outside[filled].T)]
    assert 30 < values.mean() < 50 and values.std() > 5


def test_hole_is_a_ball_at_the_right(blobs):
    changed, centre = p.with_hole(blobs, 8.0)
    voxels = np.argwhere(blobs.data > 0)
    world = blobs.grid.voxel_to_world(voxels)
    assert centre[0] == world[:, 0].max()
    distance = np.linalg.norm(world - centre, axis=1)
    assert np.array_equal(changed.data[tuple(voxels.T)] == 0, distance <= 8.0)


@pytest.mark.parametrize("from_below", [True, False])
@pytest.mark.parametrize("axes", ["RAS", "PSL", "LIA"])
def test_cut_takes_away_what_is_below_a_height(blobs, axes, from_below):
    changed, height = p.cut(p.stored_as(blobs, axes), 10.0, from_below)
    slab = np.flatnonzero((blobs.data > 0).any(axis=(0, 1)))
    expected = slab[0] + 10 - 0.5 if from_below else slab[-1] + 1 - 10 - 0.5
    assert height == pytest.approx(expected + blobs.grid.affine[2, 3])
    low, high = changed.grid.bounds_mm[:, 2]
    assert height == pytest.approx(low if from_below else high)
    kept = blobs.data[:, :, slab[0] + 10 :] if from_below else blobs.data[:, :, : slab[-1] - 9]
    assert changed.data.sum(dtype=float) == pytest.approx(kept.sum(dtype=float), rel=1e-6)


@pytest.mark.parametrize("axes", ["LPS", "AIR", "PSL"])
def test_storage_changes_no_place(blobs, rng, axes):
    changed = p.stored_as(blobs, axes)
    assert "".join(nib.aff2axcodes(changed.grid.affine)) == axes
    low, high = blobs.grid.bounds_mm
    world = rng.uniform(low + 1, high - 1, (200, 3))
    assert _values_at(changed, world) == pytest.approx(_values_at(blobs, world), abs=1e-6)


def test_motion_has_the_angle_and_the_length_asked_for(blobs):
    turn, shift = p.motion(blobs, degrees=20.0).matrix, p.motion(blobs, shift_mm=7.0).matrix
    angle = np.rad2deg(np.arccos((np.trace(turn[:3, :3]) - 1) / 2))
    assert angle == pytest.approx(20)
    centre = blobs.grid.voxel_to_world(np.argwhere(blobs.data > 0)).mean(axis=0)
    assert turn[:3, :3] @ centre + turn[:3, 3] == pytest.approx(centre)
    assert np.linalg.norm(shift[:3, 3]) == pytest.approx(7)
    assert shift[:3, :3] == pytest.approx(np.eye(3))


def test_a_moved_image_is_elsewhere_by_that_motion(blobs, rng):
    change = p.motion(blobs, 10.0, 5.0)
    world = rng.uniform(-10, 10, (50, 3))
    moved = p.moved(blobs, change)
    assert _values_at(moved, change.to_points_mm(world)) == pytest.approx(_values_at(blobs, world))


def test_a_lost_origin_is_zero_and_known(blobs):
    changed, change = p.without_origin(blobs)
    assert changed.grid.affine[:3, 3] == pytest.approx(0)
    assert change.to_points_mm(blobs.grid.affine[None, :3, 3]) == pytest.approx(0)


@pytest.mark.parametrize("voxel_mm", [2.0, 1.5, 0.8])
def test_resolution_keeps_place_and_values(blobs, voxel_mm):
    changed = p.at_resolution(blobs, voxel_mm)
    assert changed.grid.spacing == pytest.approx(voxel_mm)
    for image in (blobs, changed):
        assert image.data.min() == 0
    centres = [
        image.grid.voxel_to_world(np.array(ndimage.center_of_mass(image.data)))
        for image in (blobs, changed)
    ]
    assert centres[1] == pytest.approx(centres[0], abs=0.15)
    assert changed.data.sum() * voxel_mm**3 == pytest.approx(blobs.data.sum(), rel=0.03)


def test_coarse_voxels_do_not_fade_at_the_rim(plain):
    cubic = Image(plain.data, Grid(plain.shape, np.eye(4)))
    changed = p.at_resolution(cubic, 2.0)
    assert changed.data[changed.data > 0] == pytest.approx(100, rel=1e-4)
