"""Features of one contrast predicted from another: the conditional mean, by its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from optreg import features
from optreg.config import RegistrationConfig
from optreg.features.contrast import predicted
from optreg.kernels import get_backend

BACKEND = get_backend("cpu")
CONFIG = RegistrationConfig()
STILL = np.zeros((3, 24, 26, 22), np.float32)


def texture(seed, shape=STILL.shape[1:]):
    """Every intensity from 0.1 to 1, as often as any other."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.5)
    rank = noise.ravel().argsort().argsort().reshape(shape) / (noise.size - 1)
    return (0.1 + 0.9 * rank).astype(np.float32)


@pytest.mark.parametrize(
    "relation", [lambda x: 1 - x, lambda x: 4 * (x - 0.5) ** 2, lambda x: np.sin(9 * x) ** 2]
)
def test_any_function_of_the_intensity_is_found(relation):
    moving = texture(1)
    target = relation(moving).astype(np.float32)
    everywhere = np.ones(moving.shape, bool)
    found = predicted(moving, target[None], everywhere, STILL, BACKEND)
    assert found.shape == (1, *moving.shape)
    assert np.abs(found[0] - target)[(moving > 0.15) & (moving < 0.95)].max() < 0.02


def test_what_cannot_be_told_apart_becomes_its_mean():
    moving, target = texture(1), texture(2)  # independent
    found = predicted(moving, target[None], np.ones(moving.shape, bool), STILL, BACKEND)[0]
    assert found.std() < 0.2 * target.std()
    assert found.mean() == pytest.approx(target.mean(), abs=0.01)


def test_is_the_conditional_mean_where_voxels_meet():
    steps = np.random.default_rng(3).integers(1, 6, STILL.shape[1:])
    moving = (steps * 0.18).astype(np.float32)  # five intensities, far apart
    targets = np.stack([texture(4), texture(5)])
    counted = np.random.default_rng(6).random(moving.shape) < 0.5
    near = STILL.copy()
    near[0] = 1  # fixed voxel x meets moving voxel x + 1
    counted[-1] = False
    found = predicted(moving, targets, counted, near, BACKEND)
    met = np.roll(moving, -1, axis=0)
    for value in np.unique(moving):
        wanted = targets[:, counted & (met == value)].mean(axis=1)
        shown = found[:, moving == value]
        np.testing.assert_allclose(shown, np.broadcast_to(wanted[:, None], shown.shape), atol=2e-4)


def test_background_predicts_nothing_and_teaches_nothing():
    moving, target = texture(1), texture(2)
    moving[:8] = 0
    everywhere = np.ones(moving.shape, bool)
    found = predicted(moving, target[None], everywhere, STILL, BACKEND)[0]
    assert not found[:8].any()
    target[:8] = 1
    np.testing.assert_array_equal(
        predicted(moving, target[None], everywhere, STILL, BACKEND)[0], found
    )


def test_channels_of_two_contrasts_are_alike_once_they_are_learnt(tissues):
    _, fixed = tissues(shape=(40, 42, 38))
    _, moving = tissues((0.9, 0.4, 0.6), 0.05, (40, 42, 38), 2)  # the same regions
    still = np.zeros((3, *fixed.shape), np.float32)
    ours, theirs = features.channels(fixed, moving, "tissue", CONFIG, BACKEND, near=still)
    assert ours.shape == theirs.shape == (3, *fixed.shape)
    np.testing.assert_array_equal(ours[0], fixed)
    for a, b in zip(ours, theirs, strict=True):
        assert np.corrcoef(a[fixed > 0], b[fixed > 0])[0, 1] > 0.9


def test_what_does_not_count_is_not_learnt_from(tissues):
    _, fixed = tissues(shape=(40, 42, 38))
    _, moving = tissues((0.9, 0.4, 0.6), 0.02, (40, 42, 38), 2)
    still = np.zeros((3, *fixed.shape), np.float32)
    spoilt, known = moving.copy(), np.ones_like(moving)
    spoilt[:, :12], known[:, :12] = 0.6, 0  # a lesion in the intensity of another class
    spoilt *= fixed > 0
    for regions in ((None, known), (known, known)):
        channels = (
            features.channels(fixed, image, "tissue", CONFIG, BACKEND, regions, near=still)[1]
            for image in (moving, spoilt)
        )
        first, second = (c[:, :, 12:] for c in channels)
        np.testing.assert_allclose(first, second, atol=1e-6)
