"""The kernels of every backend against the NumPy / SciPy reference, one test body for all."""

from __future__ import annotations

import inspect

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_volumes import SHAPES, close, fields, region, volumes
from scipy import ndimage

from optreg.kernels import cpu, reference
from optreg.kernels.gpu import Engine, bind


@pytest.mark.parametrize("kernels", [cpu, bind(Engine(np, print))], ids=["cpu", "gpu"])
def test_same_names_and_signatures(kernels):
    assert {n for n in vars(kernels) if n in reference.__all__} == set(reference.__all__)
    for name in reference.__all__:
        ours = inspect.signature(getattr(kernels, name)).parameters
        theirs = inspect.signature(getattr(reference, name)).parameters
        assert list(ours) == list(theirs), name


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("amplitude", [0.4, 6.0])
def test_warp_and_compose(kernels, shape, amplitude):
    disp, other, image = fields(shape, 0, amplitude), fields(shape, 3), volumes(shape)
    close(kernels.warp(image, disp), reference.warp(image.astype(float), disp.astype(float)), 3e-6)
    channels = volumes(shape, channels=3)
    assert np.array_equal(kernels.warp(channels, disp)[1], kernels.warp(channels[1], disp))
    close(kernels.compose(other, disp), reference.compose(other.astype(float), disp), 3e-6)
    labels = (10 * image).astype(np.uint8)
    assert np.array_equal(kernels.warp_nearest(labels, disp), reference.warp_nearest(labels, disp))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigma", [0.35, 0.7, 1.73, (0.0, 1.3, 0.6), [2.1, 0.0, 0.0]])
def test_filters(kernels, shape, sigma):
    volume = volumes(shape, channels=2)
    close(kernels.gaussian_filter(volume, sigma), reference.gaussian_filter(volume, sigma))
    close(kernels.box_filter(volume, 2), reference.box_filter(volume, 2))
    inplace = volume.copy()
    kernels.gaussian_filter(inplace, sigma, inplace)
    assert np.array_equal(inplace, kernels.gaussian_filter(volume, sigma))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("radius", "stride"), [(1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (3, 3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_lncc(kernels, shape, radius, stride, weighted):
    fixed, moving = volumes(shape, 1), volumes(shape, 2)
    ours, theirs = np.empty((3, *shape), np.float32), np.empty((3, *shape))
    rest = {"stride": stride, "region": region(shape) if weighted else None}
    value = kernels.lncc(fixed, moving, radius, 1e-4, ours, 0.5, **rest)
    expected = reference.lncc(fixed, moving, radius, 1e-4, theirs, 0.5, **rest)
    assert value == pytest.approx(expected, 1e-5)
    close(ours, theirs, 1e-5)  # differences of products of float32 window sums
    kernels.lncc(fixed, moving, radius, 1e-4, ours, weight=1.0, add=True, **rest)
    close(ours, 3 * theirs, 1e-5)


def test_lncc_does_not_see_what_has_no_weight(kernels):
    shape = (12, 13, 14)
    fixed, moving, weights = volumes(shape, 1), volumes(shape, 2), region(shape)
    forces = []
    for content in (0.0, 0.7):
        spoiled = np.where(weights > 0, fixed, np.float32(content))
        force = np.empty((3, *shape), np.float32)
        value = kernels.lncc(spoiled, moving, 2, 1e-5, force, region=weights)
        # Where a neighbour has no weight, the slope of the image is of what is there.
        forces.append((value, force[:, ndimage.minimum_filter(weights, 3) > 0]))
    assert forces[0][0] == forces[1][0] and len(forces[0][1][0]) > 50
    assert np.array_equal(forces[0][1], forces[1][1])
    assert not force[:, weights == 0].any()


def test_constant_weights_scale_the_force_away_from_the_border(kernels):
    shape = (12, 13, 14)
    fixed, moving, inside = volumes(shape, 1), volumes(shape, 2), (slice(None), *[slice(4, -4)] * 3)
    plain, weighted = (np.empty((3, *shape), np.float32) for _ in range(2))
    kernels.lncc(fixed, moving, 2, 1e-5, plain)
    kernels.lncc(fixed, moving, 2, 1e-5, weighted, region=np.full(shape, 0.5, np.float32))
    assert np.abs(plain[inside]).max() > 0
    close(weighted[inside], 0.5 * plain[inside], 1e-5)


def test_half_of_the_windows_give_nearly_the_same_force(kernels):
    shape = (24, 26, 22)
    fixed, moving = (reference.gaussian_filter(volumes(shape, i), 1.0) for i in (1, 2))
    forces = []
    for stride in (1, 2):
        force = np.empty((3, *shape), np.float32)
        kernels.lncc(fixed, moving, 2, 1e-6, force, stride=stride)
        forces.append(reference.gaussian_filter(force, 1.73).ravel())
    assert np.corrcoef(forces)[0, 1] > 0.95
    assert np.linalg.norm(forces[1]) == pytest.approx(np.linalg.norm(forces[0]), rel=0.1)


@pytest.mark.parametrize("shape", [SHAPES[0], (8, 9, 1), (8, 9, 2)])
@pytest.mark.parametrize("weighted", [False, True])
def test_ssd(kernels, shape, weighted):
    fixed, moving = volumes(shape, 1), volumes(shape, 2)
    ours, theirs = np.empty((3, *shape), np.float32), np.empty((3, *shape))
    weights = region(shape) if weighted else None
    value = kernels.ssd(fixed, moving, ours, 2.0, region=weights)
    assert value == pytest.approx(reference.ssd(fixed, moving, theirs, 2.0, region=weights), 1e-5)
    # Where the reference takes half a one-sided difference, so does the kernel.
    close(ours, theirs, 1e-6)
    kernels.ssd(fixed, moving, ours, 1.0, add=True, region=weights)
    close(ours, 1.5 * theirs, 1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_steps_and_regularization(kernels, shape):
    force, field = fields(shape, 4, 3.0), fields(shape, 5)
    out = np.empty_like(field)
    exact = np.empty(field.shape)
    expected = reference.compose_step(force.astype(float), 0.7, 0.9, field.astype(float), exact)
    close(kernels.compose_step(force, 0.7, 0.9, field, out), expected, 2e-6)
    assert kernels.root_mean_square(force) == pytest.approx(reference.root_mean_square(force), 1e-6)
    work = np.empty(shape, np.float32)
    ours = kernels.relax_volume(field.copy(), 0.3, work)
    close(ours, reference.relax_volume(field.astype(float), 0.3, np.empty(shape)), 2e-6)


def test_course_of_the_steps(kernels):
    found, state, values = [], np.zeros(3), np.zeros(5)
    for value, norm in [(0.5, 3.0), (0.7, 0.1), (0.4, 2.0), (0.5, 1.0), (np.nan, np.nan)]:
        steps = np.zeros(3, np.float32)
        kernels.next_step(np.array(value), np.array(norm), 0.8, 0.5, 2.0, 1.0, state, values, steps)
        found.append(steps)
    # Ever shorter, and half as long from where the similarity was worse than the first.
    along = np.array([0.8, 0.8 * 0.9, 0.4 * 0.8, 0.4 * 0.7, 0.4 * 0.6])
    expected = np.stack([along, -along, [6.0, 1.0, 4.0, 2.0, np.nan]], axis=1)
    assert np.allclose(found, expected, rtol=1e-6, equal_nan=True)
    assert np.array_equal(values, [0.5, 0.7, 0.4, 0.5, np.nan], equal_nan=True)


@pytest.mark.parametrize("shape", SHAPES)
def test_affine_after_a_field(kernels, shape):
    rng = np.random.default_rng(11)
    disp, matrix = fields(shape, 12, 3.0), np.eye(4)
    matrix[:3] += np.hstack([rng.normal(0, 0.2, (3, 3)), rng.normal(0, 20, (3, 1))])
    close(kernels.map_field(matrix, disp), reference.map_field(matrix, disp), 1e-6)
    assert np.array_equal(kernels.map_field(np.eye(4), disp), disp)


def test_root_mean_square_of_many_voxels(kernels):
    force = fields((48, 52, 44), 6, 2.0)
    force[:, :20] = 0
    assert kernels.root_mean_square(force) == pytest.approx(reference.root_mean_square(force), 1e-6)


@pytest.mark.parametrize("shape", [(8, 10, 12), (16, 8, 14)])
def test_pyramid(kernels, shape):
    volume = volumes(shape, channels=3)
    close(kernels.downsample(volume), reference.downsample(volume))
    close(kernels.upsample(volume, 2.0), reference.upsample(volume.astype(float), 2.0), 2e-6)
    odd = volumes(tuple(n + 1 for n in shape))
    assert np.array_equal(kernels.downsample(odd), kernels.downsample(odd[:-1, :-1, :-1].copy()))
    index = np.indices(shape).astype(np.float32)
    # Going down and up again leaves a linear ramp as it is, away from the border.
    again = kernels.upsample(kernels.downsample(index))
    assert np.allclose(again[:, 2:-2, 2:-2, 2:-2], index[:, 2:-2, 2:-2, 2:-2], atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_inverse(kernels, shape):
    disp = fields(shape, 8, 1.2)
    inverse = kernels.invert(disp, tolerance=1e-4)
    assert np.abs(kernels.compose(disp, inverse)).max() < 2e-4
    close(inverse, reference.invert(disp.astype(float), tolerance=1e-6), 3e-4)
    warm = kernels.invert(disp, initial=inverse, iterations=1)
    assert np.array_equal(warm, inverse)
    some = np.flatnonzero(volumes(shape) < 0.2)
    patched, expected = np.zeros_like(disp), np.zeros(disp.shape)
    kernels.invert_at(disp, some, patched, tolerance=1e-4)
    reference.invert_at(disp.astype(float), some, expected, tolerance=1e-6)
    close(patched, expected, 3e-4)


def test_inverse_of_a_shear_that_is_no_contraction(kernels):
    # x moves by 1.8 voxels per voxel of y: fixed-point iteration diverges, the map is invertible.
    shape = (12, 30, 12)
    disp = np.zeros((3, *shape), np.float32)
    disp[0] = 1.8 * (np.arange(30, dtype=np.float32) - 15)[None, :, None]
    disp[1] = 0.5 * np.sin(np.arange(12) / 2, dtype=np.float32)[:, None, None]
    residual = kernels.compose(disp, kernels.invert(disp))[:, :, 2:-2]
    assert np.abs(residual).max() < 2e-3


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("weights", [None, region((9, 8, 10))])
def test_lncc_gradient_is_the_finite_difference(stride, weights):
    def lncc(fixed, moving):
        return reference.similarity.lncc_and_derivatives(fixed, moving, 2, 1e-3, stride, weights)

    def lncc_value(fixed, moving):
        return lncc(fixed, moving)[0]

    rng = np.random.default_rng(0)
    fixed, moving = rng.random((9, 8, 10)), rng.random((9, 8, 10))
    _, by_fixed, by_moving = lncc(fixed, moving)
    h = 1e-5
    for voxel in [(0, 0, 0), (4, 4, 5), (8, 7, 9), (2, 0, 6)]:
        bump = np.zeros_like(fixed)
        bump[voxel] = h
        slope = (lncc_value(fixed, moving + bump) - lncc_value(fixed, moving - bump)) / (2 * h)
        assert by_moving[voxel] == pytest.approx(slope, rel=1e-5, abs=1e-8)
        slope = (lncc_value(fixed + bump, moving) - lncc_value(fixed - bump, moving)) / (2 * h)
        assert by_fixed[voxel] == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_ssd_force_is_the_finite_difference():
    # For images linear in x the force is exactly minus the derivative by a shift of moving,
    # plus that by the opposite shift of fixed.
    shape = (8, 8, 8)
    ramp = np.broadcast_to(np.arange(8.0)[:, None, None] / 8, shape)
    fixed, moving = ramp + 0.1, np.array(ramp)
    force = np.empty((3, *shape))
    reference.ssd(fixed.copy(), moving, force)
    h = 1e-6

    def value(shift):
        return ((fixed + shift / 8 * -1 - (moving + shift / 8)) ** 2)[3, 3, 3]

    slope = (value(h) - value(-h)) / (2 * h)
    assert force[0, 3, 3, 3] == pytest.approx(-slope, rel=1e-5)
    assert np.abs(force[1:, 3, 3, 3]).max() < 1e-12


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 3.0))
@settings(max_examples=15, deadline=None)
def test_composing_with_the_inverse_gives_identity(seed, amplitude):
    shape = (12, 12, 12)
    disp = fields(shape, seed, amplitude)
    if cpu.minimum_determinant(disp).min() < 0.3:
        disp *= np.float32(0.3)
    inside = (slice(None), *[slice(4, -4)] * 3)
    assert np.abs(cpu.compose(disp, cpu.invert(disp))[inside]).max() < 0.05


@pytest.mark.parametrize("name", ["lncc", "gaussian", "step", "invert", "rms"])
def test_bit_equal_for_any_thread_count(name):
    shape = (17, 12, 13)
    a, b = volumes(shape, 1), volumes(shape, 2)
    field, force = fields(shape, 1), fields(shape, 2)

    def run():
        out = np.empty_like(field)
        if name == "lncc":
            return cpu.lncc(a, b, 2, 1e-5, out), out
        if name == "gaussian":
            return cpu.gaussian_filter(field, 1.2)
        if name == "step":
            return cpu.compose_step(force, 0.5, 0.1, field, out)
        return cpu.invert(field) if name == "invert" else cpu.root_mean_square(field)

    before = numba.get_num_threads()
    results = []
    try:
        for threads in {1, before}:
            numba.set_num_threads(threads)
            results.append(run())
    finally:
        numba.set_num_threads(before)
    for one, other in zip(results[0], results[-1], strict=True) if name != "rms" else []:
        assert np.array_equal(one, other)
    if name == "rms":
        assert results[0] == results[-1]


@pytest.mark.parametrize(("radius", "dilation"), [(1, 1), (1, 2), (2, 2)])
def test_mind(kernels, radius, dilation):
    image = reference.gaussian_filter(volumes((13, 12, 15)), 1.0)
    ours = kernels.mind_ssc(image, radius, dilation)
    close(ours, reference.mind_ssc(image, radius, dilation), 2e-5)  # exp of a float32 quotient
    assert ours.shape == (12, 13, 12, 15)
    some = (1, 4, 7)
    close(
        kernels.mind_ssc(image, radius, dilation, some),
        reference.mind_ssc(image, radius, dilation, some),
        2e-5,
    )
    assert 0 <= ours.min() and ours.max() == 1
    assert np.allclose(kernels.mind_ssc(3 - 2 * image, radius, dilation), ours, atol=2e-4)


def test_discrete_search(kernels):
    fixed, moving = volumes((7, 8, 9), 1, 4), volumes((7, 8, 9), 2, 4)
    cost = kernels.cost_volume(fixed, moving, 2)
    close(cost, reference.cost_volume(fixed, moving, 2), 2e-6)
    disp = fields((7, 8, 9), 3, 2.0)
    assert np.array_equal(
        kernels.convex_step(cost, disp, 0.01), reference.convex_step(cost, disp, np.float32(0.01))
    )
