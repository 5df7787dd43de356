import pickle
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from optreg.errors import GeometryError, InputError
from optreg.grid import Grid
from optreg.transform.canonical import Canonical

ANGLES = st.tuples(*[st.floats(-3.1, 3.1)] * 3)
SPACINGS = st.tuples(*[st.floats(0.05, 20)] * 3)
ORIGINS = st.tuples(*[st.floats(-500, 500)] * 3)
SHAPES = st.tuples(*[st.integers(1, 300)] * 3)


def rotated(angles, spacing, origin, mirrored=False):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles).as_matrix() * np.array(spacing)
    affine[:3, 0] *= -1 if mirrored else 1
    affine[:3, 3] = origin
    return affine


@given(SHAPES, ANGLES, SPACINGS, ORIGINS, st.booleans())
def test_world_and_back(shape, angles, spacing, origin, mirrored):
    grid = Grid(shape, rotated(angles, spacing, origin, mirrored))
    points = np.array([[0, 0, 0], np.array(shape) - 1, [2.5, -7, 300]])
    assert_allclose(grid.spacing, spacing, rtol=1e-9)
    assert_allclose(
        grid.voxel_to_world(points), nib.affines.apply_affine(grid.affine, points), atol=1e-9
    )
    assert_allclose(grid.world_to_voxel(grid.voxel_to_world(points)), points, atol=1e-6)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product([-1, 1], repeat=3)))
def test_orientation_of_all_48_agrees_with_nibabel(order, signs):
    tilt = Rotation.from_euler("xyz", [0.2, -0.15, 0.1]).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = tilt @ (np.eye(3)[:, order] * signs) * [1, 2, 0.5]
    assert Grid((8, 9, 10), affine).orientation == "".join(nib.aff2axcodes(affine))


def test_bounds_enclose_the_voxel_faces():
    grid = Grid((10, 20, 30), np.diag([-2.0, 1, 0.5, 1]))
    assert_allclose(grid.bounds_mm, [[-19, -0.5, -0.25], [1, 19.5, 14.75]])


def test_same_as_measures_the_farthest_corner_in_voxels():
    grid = Grid((200, 200, 200), np.diag([0.5, 0.5, 0.5, 1]))
    turned = grid.affine.copy()
    turned[0, 1] = 1e-5  # half of 1e-5 mm a voxel: 199 voxels on it is 4e-3 voxels
    assert not grid.same_as(Grid(grid.shape, turned))
    assert grid.same_as(Grid(grid.shape, turned), tolerance=5e-3)
    assert not grid.same_as(Grid((200, 200, 199), grid.affine))
    moved = grid.affine.copy()
    moved[2, 3] = 4e-4
    assert grid.same_as(Grid(grid.shape, moved))


@given(st.tuples(*[st.integers(1, 40)] * 3), st.integers(1, 5))
def test_downsampled_voxel_sits_in_the_middle_of_its_block(shape, factor):
    grid = Grid(shape, rotated([0.3, 0.2, -0.5], [1, 2, 3], [5, 6, 7]))
    coarse = grid.downsample(factor)
    assert coarse.shape == tuple(int(np.ceil(n / factor)) for n in shape)
    block = np.indices((factor,) * 3).reshape(3, -1).T + factor * np.array([1, 2, 0])
    assert_allclose(
        coarse.voxel_to_world([1, 2, 0]), grid.voxel_to_world(block).mean(axis=0), atol=1e-9
    )


def test_downsample_takes_a_factor_an_axis():
    coarse = Grid.identity((8, 8, 8)).downsample((4, 2, 1))
    assert coarse.shape == (2, 4, 8)
    assert_allclose(coarse.spacing, [4, 2, 1])
    assert_allclose(coarse.affine[:3, 3], [1.5, 0.5, 0])


SLICES = st.builds(
    slice, *[st.none() | st.integers(-25, 25)] * 2, st.sampled_from([None, 1, 3, -2])
)


@given(st.tuples(SLICES, SLICES, SLICES))
def test_crop_keeps_every_voxel_in_its_place(slices):
    grid = Grid((11, 17, 23), rotated([0.3, 0.2, -0.5], [1, 2, 3], [5, 6, 7]))
    positions = np.stack(np.indices(grid.shape), axis=-1)[slices]
    if positions.size == 0:
        with pytest.raises(GeometryError, match="empty"):
            grid.crop(slices)
        return
    cropped = grid.crop(slices)
    assert cropped.shape == positions.shape[:3]
    kept = np.stack(np.indices(cropped.shape), axis=-1)
    assert_allclose(cropped.voxel_to_world(kept), grid.voxel_to_world(positions), atol=1e-9)


def test_matrix_to_goes_through_the_world(oblique_grid):
    other = Grid((5, 6, 7), rotated([1, 2, 3], [2, 2, 2], [9, 9, 9]))
    point = np.array([3.0, 4.0, 5.0])
    direct = nib.affines.apply_affine(oblique_grid.matrix_to(other), point)
    assert_allclose(other.voxel_to_world(direct), oblique_grid.voxel_to_world(point), atol=1e-9)


@pytest.mark.parametrize(
    ("affine", "what"),
    [
        (np.zeros((4, 4)), "last row"),
        (np.diag([0, 0, 0, 1]), "length zero"),
        (np.diag([1, 1, 0, 1]), "length zero"),
        (np.diag([1, 1, np.nan, 1]), "NaN"),
        (np.diag([1, np.inf, 1, 1]), "NaN or infinity"),
        (np.diag([1e30, 1, 1, 1]), "reaches"),
        ([[1, 2, 0, 0], [2, 4, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "singular"),
        (np.eye(3), "4x4"),
        ("RAS", "4x4"),
        ([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]], "last row"),
    ],
)
def test_unusable_affine_is_refused(affine, what):
    with pytest.raises(GeometryError, match=what):
        Grid((8, 8, 8), affine)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 0), (8, -1, 8), (8, 8, 1.5), (8, 8, 8, 1), None])
def test_unusable_shape_is_refused(shape):
    with pytest.raises(GeometryError, match="three positive integers"):
        Grid(shape, np.eye(4))


@given(st.floats(1e-3, 1e3), ANGLES)
def test_size_of_voxels_does_not_make_an_affine_singular(size, angles):
    assert_allclose(Grid((8, 8, 8), rotated(angles, [size] * 3, [0, 0, 0])).spacing, size)


def test_grid_cannot_be_changed_from_outside():
    affine = np.eye(4)
    grid = Grid((8, 8, 8), affine)
    affine[0, 0] = 5
    assert grid.affine[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 5


def test_grid_survives_pickling(oblique_grid):
    copy = pickle.loads(pickle.dumps(oblique_grid))
    assert copy.shape == oblique_grid.shape
    assert np.array_equal(copy.affine, oblique_grid.affine)


def test_downsampling_by_zero_is_refused():
    with pytest.raises(GeometryError, match="not positive"):
        Grid.identity((8, 8, 8)).downsample(0)


def test_geometry_errors_are_input_errors():
    with pytest.raises(InputError):
        Grid((0, 1, 1), np.eye(4))


def test_overlap_counts_whole_voxels():
    grid = Grid((4, 5, 1), np.diag([2.0, 1.0, 6.0, 1.0]))
    for axis, size in enumerate((8, 5, 6)):
        for part, expected in ((0.99, True), (1.01, False)):
            moved = grid.affine.copy()
            moved[axis, 3] += part * size
            other = Grid(grid.shape, moved)
            assert grid.overlaps(other) == other.overlaps(grid) == expected


def test_world_keeps_its_code(oblique_grid):
    grid = Grid(oblique_grid.shape, oblique_grid.affine, space=4)
    assert oblique_grid.space == 1 and Grid.identity((8, 8, 8)).space == 1
    for other in (grid.downsample(2), grid.crop(np.s_[2:9, ::-1, ::2]), Canonical(grid).grid):
        assert other.space == 4 and not other.same_as(grid)
    assert grid.same_as(oblique_grid) and oblique_grid.same_as(grid)
    for code in (0, 6, -1):
        with pytest.raises(GeometryError, match="use 1 to 5"):
            Grid((8, 8, 8), np.eye(4), space=code)
