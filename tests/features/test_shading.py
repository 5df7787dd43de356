"""Shading that was multiplied onto an image is taken off again."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from optreg.features.shading import even_out
from optreg.kernels import get_backend

BACKEND = get_backend("cpu")
SHAPE = (64, 72, 56)


def shade(shape, amount):
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    return (1 + amount * (0.6 * x - 0.3 * y + 0.4 * z)).astype(np.float32)


def wave(shape, amount):
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    return (1 + amount * np.cos(np.pi * (x + y))).astype(np.float32)


def spread(volume, label):
    """Standard deviation over mean within grey and white matter, the larger of the two."""
    return max(volume[label == k].std() / volume[label == k].mean() for k in (2, 3))


@pytest.mark.parametrize("amount", [0.15, 0.3, -0.3])
def test_tissues_become_even(tissues, amount):
    label, clean = tissues(noise=0.01, shape=SHAPE)
    shaded = np.clip(clean * shade(SHAPE, amount) * 0.8, 0, 1)
    even = even_out(shaded, shaded, BACKEND)
    assert spread(even, label) < 0.55 * spread(shaded, label)


def test_a_wave_over_the_brain_is_evened_out(tissues):
    label, clean = tissues(noise=0.01, shape=SHAPE)
    shaded = np.clip(clean * wave(SHAPE, 0.2) * 0.8, 0, 1)
    even = even_out(shaded, shaded, BACKEND)
    assert spread(even, label) < 0.46 * spread(shaded, label)


def test_even_image_stays(tissues):
    clean = tissues(noise=0.01, shape=SHAPE)[1]
    even = even_out(clean, clean, BACKEND)
    inside = clean > 0
    assert even.dtype == np.float32 and not even[~inside].any()
    assert np.abs(even[inside] / clean[inside] - 1).mean() < 0.02


def test_anatomy_of_few_voxels_is_not_shading():
    texture = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((40, 40, 40)), 3)
    volume = np.clip(0.5 + 0.15 * texture / texture.std(), 0.05, 1).astype(np.float32)
    assert even_out(volume, volume, BACKEND).std() > 0.87 * volume.std()


def test_result_stays_in_range(tissues):
    shaded = np.minimum(tissues(shape=SHAPE)[1] * shade(SHAPE, -0.5), 1)
    even = even_out(shaded, shaded, BACKEND)
    assert even.min() >= 0 and even.max() <= 1 and np.isfinite(even).all()


def test_too_small_or_empty_is_left_alone():
    small = np.random.default_rng(0).random((31, 40, 40), dtype=np.float32)
    assert even_out(small, small, BACKEND) is small
    empty = np.zeros((40, 40, 40), np.float32)
    assert even_out(empty, empty, BACKEND) is empty
