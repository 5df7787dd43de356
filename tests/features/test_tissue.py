"""Intensity classes: found where they were planted, matched across contrasts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optreg.config import RegistrationConfig
from optreg.features import channels, global_correlation
from optreg.features.tissue import class_centres, class_maps, match_classes, paired_centres
from optreg.kernels import get_backend

BACKEND = get_backend("cpu")
CENTRES = (0.25, 0.5, 0.85)


@given(st.permutations([0.2, 0.5, 0.85]), st.floats(0.005, 0.04))
def test_centres_are_found(tissues, centres, noise):
    found = class_centres(tissues(centres, noise)[1], BACKEND)
    assert found == pytest.approx(sorted(centres), abs=0.02)


def test_centres_of_few_values():
    volume = np.zeros((8, 8, 8), np.float32)
    volume[2:6] = 0.7
    assert np.isfinite(class_centres(volume, BACKEND)).all()


@given(st.floats(0.5, 2.0))
def test_centres_of_two_images_follow_a_change_of_intensities(tissues, gamma):
    _, image = tissues()
    changed = (image**gamma).astype(np.float32)
    fixed, moving = paired_centres(image, changed, BACKEND)
    assert np.allclose(moving, fixed**gamma, atol=0.01)
    assert fixed == pytest.approx(sorted(CENTRES), abs=0.1)
    back = paired_centres(changed, image, BACKEND)
    assert np.array_equal(back[0], moving) and np.array_equal(back[1], fixed)


def test_what_only_one_image_shows_is_no_class_of_it(tissues):
    label, image = tissues()
    expected = paired_centres(image, image, BACKEND)
    rim = np.where(label > 0, image, np.float32(0.05))
    assert np.allclose(paired_centres(rim, image, BACKEND), expected)
    assert not np.allclose(class_centres(rim, BACKEND), expected[0], atol=0.03)


def test_images_without_common_foreground_have_classes_of_their_own(tissues):
    _, image = tissues()
    there, elsewhere = np.zeros((2, *image.shape), np.float32)
    there[:8], elsewhere[-8:] = image[:8], image[-8:]
    found = paired_centres(there, elsewhere, BACKEND)
    assert np.array_equal(found, [class_centres(there, BACKEND), class_centres(elsewhere, BACKEND)])


def test_maps_are_memberships(tissues):
    label, image = tissues()
    maps = class_maps(image, class_centres(image, BACKEND), 5.0)
    assert maps.shape == (3, *label.shape) and maps.dtype == np.float32
    inside = label > 0
    assert np.allclose(maps.sum(axis=0)[inside], 1, atol=1e-6)
    assert not maps[:, ~inside].any()
    assert (maps.argmax(axis=0) + 1 == label)[inside].mean() > 0.99


@given(st.permutations(range(3)))
def test_classes_are_matched_whatever_their_intensities(tissues, order):
    other = tissues([CENTRES[k] for k in order])[1]
    images = tissues(CENTRES)[1], other
    fixed, moving = (class_maps(v, class_centres(v, BACKEND), 5.0) for v in images)
    # Fixed class i has intensity rank `order[i]` in the other contrast.
    assert match_classes(fixed, moving) == tuple(order)


def test_global_correlation_is_that_of_the_common_foreground(tissues):
    fixed, moving = tissues()[1], tissues(noise=0.3, seed=5)[1]
    moving[:5] = 0
    both = (fixed > 0) & (moving > 0)
    expected = np.corrcoef(fixed[both], moving[both])[0, 1]
    assert global_correlation(fixed, moving) == pytest.approx(expected, abs=1e-5)
    assert global_correlation(fixed, np.zeros_like(fixed)) == 0


def test_channels_of_two_contrasts_agree(tissues):
    shape = (40, 42, 36)
    label, fixed = tissues(CENTRES, shape=shape)
    moving = tissues(CENTRES[::-1], shape=shape)[1]
    config = RegistrationConfig()
    f, m = channels(fixed, moving, "tissue", config, BACKEND)
    assert f.shape == m.shape == (3, *label.shape)
    inside = label > 0
    for c in range(3):
        assert np.corrcoef(f[c][inside], m[c][inside])[0, 1] > 0.97
    assert np.array_equal(f[0], fixed)
    same = channels(fixed, moving, "lncc", config, BACKEND)
    assert np.array_equal(same[1][0], moving)


def test_mind_channels(tissues):
    volume = tissues()[1]
    f, m = channels(volume, volume, "mind", RegistrationConfig(), BACKEND)
    assert f.shape == (12, *volume.shape)
    assert np.array_equal(f, m)
