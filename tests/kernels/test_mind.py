"""MIND-SSC against the reference, and the reference against its definition."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from optreg.kernels.cpu.mind import mind_ssc
from optreg.kernels.reference import mind as reference


def image_of(shape, seed=0, sigma=1.0):
    noise = np.random.default_rng(seed).standard_normal(shape)
    return ndimage.gaussian_filter(noise, sigma).astype(np.float32)


@pytest.mark.parametrize("shape", [(9, 10, 11), (8, 17, 13), (16, 8, 9)])
@pytest.mark.parametrize(("radius", "dilation"), [(1, 2), (1, 1), (2, 2), (1, 3), (3, 2)])
def test_cpu_is_the_reference(shape, radius, dilation):
    image = image_of(shape, radius)
    ours = mind_ssc(image, radius, dilation)
    assert ours.dtype == np.float32 and ours.shape == (12, *shape)
    # Differences of float32 distances, relative to their mean and through exp.
    assert np.abs(ours - reference.mind_ssc(image, radius, dilation)).max() < 1e-5


def test_channels_are_the_twelve_pairs_of_perpendicular_neighbours():
    pairs = np.array(reference.PAIRS)
    assert pairs.shape == (12, 2, 3)
    assert np.array_equal(np.abs(pairs).sum(axis=2), np.ones((12, 2)))
    assert not (pairs[:, 0] * pairs[:, 1]).any()
    assert len({frozenset(map(tuple, pair)) for pair in pairs.tolist()}) == 12


def test_definition_voxel_by_voxel():
    shape, radius, dilation = (7, 8, 7), 1, 2
    image = image_of(shape, 3).astype(float)

    def value(*position):
        return image[tuple(np.clip(position, 0, np.array(shape) - 1))]

    distance = np.zeros((12, *shape))
    for c, (a, b) in enumerate(dilation * np.array(reference.PAIRS)):
        for x in np.ndindex(shape):
            for step in np.ndindex(3, 3, 3):
                at = np.clip(np.add(x, step) - radius, 0, np.array(shape) - 1)
                distance[(c, *x)] += (value(*(at + a)) - value(*(at + b))) ** 2 / 27
    distance -= distance.min(axis=0)
    variance = distance.mean(axis=0)
    assert (variance > 1e-3 * variance.mean()).all()  # the clamp takes no part in this one
    expected = np.exp(-distance / variance)
    assert np.abs(reference.mind_ssc(image, radius, dilation) - expected).max() < 1e-6


@settings(max_examples=15)
@given(st.floats(-50, 50).filter(lambda a: abs(a) > 0.02), st.floats(-20, 20))
def test_linear_changes_of_intensity_do_not_matter(scale, shift):
    image = image_of((10, 9, 11), 5).astype(float)
    changed = scale * image + shift
    expected = reference.mind_ssc(image)
    assert np.abs(reference.mind_ssc(changed) - expected).max() < 1e-6
    # In float32 the sum itself is rounded, to a share of the contrast that grows with the shift.
    contrast = abs(scale) * image.std()
    lost = 1e-7 * (abs(shift) + contrast) / contrast
    ours = mind_ssc(changed.astype(np.float32))
    assert np.abs(ours - expected).mean() < 1e-5 + 30 * lost


def test_flat_images_are_all_ones():
    assert np.array_equal(mind_ssc(np.full((8, 9, 8), 3, np.float32)), np.ones((12, 8, 9, 8)))
    # Background far from anything: the clamp keeps 0 / 0 out.
    image = np.zeros((24, 10, 10), np.float32)
    image[18:22, 3:7, 3:7] = np.random.default_rng(0).random((4, 4, 4))
    features = mind_ssc(image)
    assert np.isfinite(features).all()
    assert np.array_equal(features[:, :10], np.ones((12, 10, 10, 10)))
    assert features[:, 15:].min() < 0.5


def test_bit_equal_for_any_thread_count():
    image, before, results = image_of((17, 12, 13)), numba.get_num_threads(), []
    try:
        for threads in {1, numba.config.NUMBA_NUM_THREADS}:
            numba.set_num_threads(threads)
            results.append(mind_ssc(image))
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(results[0], results[-1])
