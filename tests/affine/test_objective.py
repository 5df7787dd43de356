"""Both measures against their definitions, and their derivatives against differences."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import expm

from optreg.affine.correlation_ratio import CorrelationRatio
from optreg.affine.lattice import Lattice, find_foreground, make_lattice
from optreg.affine.local_correlation import LocalCorrelation
from optreg.affine.objective import Objective
from optreg.affine.search import GROUPS, generators, minimize, rotations
from optreg.grid import Grid
from optreg.kernels import get_backend

BACKEND = get_backend("cpu")
SHAPE = (12, 14, 10)


def lattice(image, step_mm=1.5):
    return make_lattice(image, find_foreground(image, "image", BACKEND), step_mm, BACKEND)


def measure_named(name, fixed):
    if name == "ratio":
        return CorrelationRatio(fixed, BACKEND)
    return LocalCorrelation(fixed.values, fixed.known, BACKEND)


@pytest.fixture(scope="module", params=["ratio", "local"])
def objective(request, blobs, map_about, moved_by, centre_mm):
    """Of two images, with a part of the moving one that is unknown."""
    fixed, moving = lattice(blobs), lattice(moved_by(map_about([4, -3, 5], [1.0, 2, 1])))
    moving.known[:, :9] = 0
    return Objective(measure_named(request.param, fixed), fixed, moving, centre_mm, BACKEND)


@pytest.fixture(scope="module")
def matrix(centre_mm):
    """A map near the solution, off every voxel of the lattices."""
    out = np.eye(4)
    out[:3, :3] += [[0.02, 0.01, -0.02], [0.0, -0.03, 0.01], [0.02, 0.01, 0.03]]
    out[:3, 3] = centre_mm + np.array([0.83, 1.37, 0.46])
    return out


def test_gradient_is_that_of_the_value(objective, matrix):
    directions = generators("affine", 10.0)
    value, gradient, _ = objective.derivatives(matrix)
    assert value == objective.value(matrix)
    found = np.einsum("kij,ij->k", directions[:, :3], gradient)
    h = 2e-3
    differences = [
        (objective.value(matrix @ expm(h * d)) - objective.value(matrix @ expm(-h * d))) / (2 * h)
        for d in directions
    ]
    np.testing.assert_allclose(found, differences, atol=0.01 * np.abs(differences).max())


def test_hessian_is_symmetric_and_positive(objective, matrix):
    hessian = objective.derivatives(matrix)[2].reshape(12, 12)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-9, atol=1e-12)
    assert np.linalg.eigvalsh(hessian).min() > 0


@pytest.mark.parametrize("name", ["ratio", "local"])
def test_hessian_is_that_of_equal_images(name, blobs, centre_mm):
    """Where nothing is left over, Gauss-Newton misses only what the fitted function takes up."""
    one = lattice(blobs)
    objective = Objective(measure_named(name, one), one, one, centre_mm, BACKEND)
    start = np.eye(4)
    start[:3, 3] = centre_mm
    value, _, hessian = objective.derivatives(start)
    assert abs(value) < 1e-5
    for d in generators("rigid", 12.0):
        row, step = d[:3].ravel(), 0.2
        found = objective.value(start @ expm(step * d)) / step**2
        assert 0.3 < 2 * found / (row @ hessian.reshape(12, 12) @ row) < 1.1


def test_value_is_the_unexplained_share_of_the_variance(rng):
    fixed, moving, known, seen = rng.random((4, *SHAPE), dtype=np.float32)
    knots = np.linspace(0, 1, 16)
    hats = [np.interp(fixed.ravel(), knots, row) for row in np.eye(16)]
    weight = (known * seen).ravel().astype(float)
    root = np.sqrt(weight)
    target = moving.ravel().astype(float)
    left = np.linalg.lstsq(np.array(hats).T * root[:, None], target * root, rcond=None)[1][0]
    spread = target - np.average(target, weights=weight)
    expected = left / (weight @ spread**2)
    measure = CorrelationRatio(Lattice(fixed, seen, Grid.identity(SHAPE)), BACKEND)
    assert measure.value(moving, known) == pytest.approx(expected, rel=1e-5)


def test_a_function_of_the_fixed_image_leaves_nothing(rng):
    values = rng.random(SHAPE, dtype=np.float32)
    measure = CorrelationRatio(Lattice(values, np.ones_like(values), Grid.identity(SHAPE)), BACKEND)
    assert measure.value(values, np.ones_like(values)) < 1e-9
    assert measure.value((1 - values) ** 2, np.ones_like(values)) < 1e-4
    assert measure.value(rng.random(SHAPE, dtype=np.float32), np.ones_like(values)) > 0.9


def test_local_correlation_is_that_of_every_cube(rng):
    fixed, moving, known, seen = rng.random((4, *SHAPE), dtype=np.float32)

    def cubes(volume):
        padded = np.pad(volume.astype(float), 1, mode="edge")
        return np.lib.stride_tricks.sliding_window_view(padded, (3, 3, 3)).reshape(*SHAPE, 27)

    f, m = (c - c.mean(axis=-1, keepdims=True) for c in (cubes(fixed), cubes(moving)))
    variance = (f**2).mean(axis=-1)
    squared = (f * m).mean(axis=-1) ** 2 / (variance * (m**2).mean(axis=-1))
    weights = known * seen * variance**2 / (variance**2 + 1e-6)
    expected = 1 - np.average(squared, weights=weights)
    found = LocalCorrelation(fixed, seen, BACKEND).value(moving, known)
    assert found == pytest.approx(expected, rel=1e-4)


def test_fixed_image_in_the_moving_contrast(rng):
    values = rng.random(SHAPE, dtype=np.float32)
    ones = np.ones_like(values)
    measure = CorrelationRatio(Lattice(values, ones, Grid.identity(SHAPE)), BACKEND)
    wanted = np.abs(values - 0.4)
    found = measure.in_moving_contrast(wanted + 0.01 * rng.standard_normal(SHAPE), ones)
    assert found.dtype == np.float32 and np.abs(found - wanted).mean() < 0.005


def test_lattice_is_the_smoothed_image(blobs):
    found = lattice(blobs, 2.0)
    assert found.grid.spacing == pytest.approx([2, 2, 2])
    middle = found.grid.voxel_to_world((np.array(found.grid.shape) - 1) / 2)
    inside = np.argwhere(blobs.data > 0)
    expected = blobs.grid.voxel_to_world((inside.min(axis=0) + inside.max(axis=0)) / 2)
    np.testing.assert_allclose(middle, expected, atol=1e-9)
    centre, radius = found.centre_and_radius(BACKEND)
    world = blobs.grid.voxel_to_world(inside)
    assert np.abs(centre - world.mean(axis=0)).max() < 0.5
    assert radius == pytest.approx(np.sqrt(world.var(axis=0).sum()), rel=0.05)
    assert found.values.max() == 1 and found.known.min() == 1


def test_groups_contain_each_other():
    for smaller, larger in pairwise(GROUPS):
        rows = generators(larger, 30.0).reshape(-1, 16)
        both = np.vstack([rows, generators(smaller, 30.0).reshape(-1, 16)])
        assert np.linalg.matrix_rank(both) == np.linalg.matrix_rank(rows) == len(rows)
    turn = expm(0.4 * generators("rigid", 1.0)[4])[:3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


def test_starts_are_apart():
    angles = [
        np.rad2deg(np.arccos(np.clip((np.trace(a.T @ b) - 1) / 2, -1, 1)))
        for i, a in enumerate(rotations(25.0))
        for b in rotations(25.0)[:i]
    ]
    assert len(rotations(25.0)) == 15 and min(angles) > 15


def test_search_never_gets_worse(objective, matrix):
    """From one lattice voxel beside the solution, and at the solution."""
    directions = generators("affine", 10.0)
    found, value = minimize(objective, matrix, directions, 20, 1e-3)
    assert value < 0.6 * objective.value(matrix)
    assert value == objective.value(found)
    again, best = minimize(objective, found, directions, 20, 1e-3)
    assert best <= value and np.abs(again - found).max() < 0.05
