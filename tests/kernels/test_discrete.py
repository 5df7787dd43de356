"""Cost volume and coupled argmin against the reference and against brute force."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from optreg.kernels import cpu
from optreg.kernels.cpu.discrete import convex_step, cost_volume
from optreg.kernels.reference import discrete as reference


def features_of(shape, seed, channels=4):
    return np.random.default_rng(seed).random((channels, *shape), dtype=np.float32)


def displacements(radius):
    """Candidates in the order of the cost volume: the last axis changes fastest."""
    return np.indices((2 * radius + 1,) * 3).reshape(3, -1).T - radius


def energy(cost, disp, smooth, coupling):
    """Energy of a choice, looked up point by point."""
    width = round(cost.shape[0] ** (1 / 3))
    x, y, z = disp.astype(int) + width // 2
    index = (x * width + y) * width + z
    chosen = np.take_along_axis(cost.astype(float), index[None], axis=0)[0]
    return chosen + coupling * ((disp - smooth.astype(float)) ** 2).sum(axis=0)


@pytest.mark.parametrize("shape", [(5, 6, 7), (2, 9, 3)])
@pytest.mark.parametrize("radius", [1, 2, 3])
def test_cost_volume(shape, radius):
    fixed, moving = features_of(shape, 1), features_of(shape, 2)
    ours = cost_volume(fixed, moving, radius)
    theirs = reference.cost_volume(fixed, moving, radius)
    assert ours.dtype == np.float32 and ours.shape == ((2 * radius + 1) ** 3, *shape)
    assert np.abs(ours - theirs).max() < 1e-6 * theirs.max()


def test_cost_of_a_displacement_is_the_difference_to_the_warped_features():
    shape, radius = (5, 6, 4), 2
    fixed, moving = features_of(shape, 1), features_of(shape, 2)
    cost = cost_volume(fixed, moving, radius)
    for d, step in enumerate(displacements(radius)):
        disp = np.broadcast_to(step.reshape(3, 1, 1, 1), (3, *shape)).astype(np.float32).copy()
        expected = ((fixed - cpu.warp(moving, disp)) ** 2).mean(axis=0)
        assert np.allclose(cost[d], expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 6, 7), (2, 9, 3)])
@pytest.mark.parametrize("coupling", [0.0, 0.01, 1.0])
def test_convex_step(shape, coupling):
    rng = np.random.default_rng(0)
    cost = rng.random((125, *shape), dtype=np.float32)
    smooth = rng.uniform(-2, 2, (3, *shape)).astype(np.float32)
    ours = convex_step(cost, smooth, coupling)
    theirs = reference.convex_step(cost, smooth, coupling)
    assert np.array_equal(ours, np.round(ours)) and np.abs(ours).max() <= 2
    least = energy(cost, theirs, smooth, coupling)
    candidates = displacements(2).reshape(125, 3, 1, 1, 1)
    everything = cost + coupling * ((candidates - smooth) ** 2).sum(axis=1)
    assert np.allclose(least, everything.min(axis=0), rtol=1e-6)
    # Rounding may decide between two equally good ones, not more.
    assert np.abs(energy(cost, ours, smooth, coupling) - least).max() < 2e-6 * everything.max()
    assert (ours == theirs).mean() > 0.98


def test_strong_coupling_rounds_the_smooth_field():
    smooth = np.random.default_rng(1).uniform(-1.4, 1.4, (3, 4, 5, 6)).astype(np.float32)
    cost = np.random.default_rng(2).random((27, 4, 5, 6), dtype=np.float32)
    assert np.array_equal(convex_step(cost, smooth, 1e6), np.clip(np.round(smooth), -1, 1))


@pytest.mark.parametrize("step", [convex_step, reference.convex_step])
def test_of_equal_costs_the_first_is_taken(step):
    still = np.zeros((3, 2, 3, 4), np.float32)
    assert np.array_equal(step(np.ones((27, 2, 3, 4), np.float32), still, 0.0), still - 1)


def test_bit_equal_for_any_thread_count():
    fixed, moving = features_of((7, 6, 5), 1), features_of((7, 6, 5), 2)
    before, results = numba.get_num_threads(), []
    try:
        for threads in {1, numba.config.NUMBA_NUM_THREADS}:
            numba.set_num_threads(threads)
            cost = cost_volume(fixed, moving, 2)
            results.append((cost, convex_step(cost, np.zeros((3, 7, 6, 5), np.float32), 0.01)))
    finally:
        numba.set_num_threads(before)
    for one, other in zip(results[0], results[-1], strict=True):
        assert np.array_equal(one, other)
