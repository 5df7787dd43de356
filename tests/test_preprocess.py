"""Normalization, the box around the foregrounds, and pasting a field back."""

from __future__ import annotations

import numpy as np
import pytest

from optreg.config import PreprocessConfig
from optreg.preprocess import Box, foreground_box, foreground_overlap, normalize


@pytest.mark.parametrize("starts", [(3, 0, 5), (0, 0, 0), (2, 4, 6)])
def test_paste_repeats_the_edge(starts):
    full, size = (14, 12, 16), (9, 8, 10)
    slices = tuple(slice(s, s + n) for s, n in zip(starts, size, strict=True))
    field = np.random.default_rng(0).random((3, *size), dtype=np.float32)
    around = [(s.start, n - s.stop) for s, n in zip(slices, full, strict=True)]
    expected = np.pad(field, [(0, 0), *around], mode="edge")
    assert np.array_equal(Box(slices, full).paste(field), expected)


def test_box_beyond_the_grid_is_cut_again():
    box = Box((slice(0, 8), slice(-2, 8), slice(1, 9)), (8, 7, 8))
    volume = np.random.default_rng(1).random((8, 7, 8), dtype=np.float32)
    part = box.crop(volume)
    assert part.shape == box.shape == (8, 10, 8)
    assert not part[:, :2].any() and not part[:, 9:].any() and not part[:, :, 7:].any()
    pasted = box.paste(np.stack([part] * 3))
    assert np.array_equal(pasted[0][:, :, 1:], volume[:, :, 1:])
    assert np.array_equal(pasted[0][:, :, 0], volume[:, :, 1])


def test_foreground_box_holds_both_images():
    fixed, moving = np.zeros((2, 40, 44, 36), np.float32)
    fixed[12:20, 20:25, 14:18] = 1
    moving[15:26, 18:24, 16:21] = 1
    box = foreground_box(fixed, moving, 3, (4, 8))
    assert all(n % 4 == 0 for n in box.shape)
    for s, low, high in zip(box.slices, (12, 18, 14), (26, 25, 21), strict=True):
        assert s.start <= low - 3 and s.stop >= high + 3


def test_foreground_box_is_as_large_as_it_must_be():
    fixed = np.zeros((8, 40, 30), np.float32)
    fixed[3:5, 39, 20] = 1
    box = foreground_box(fixed, fixed, 1, (16, 32))
    assert box.shape == (32, 32, 32)
    for s, n, low, high in zip(box.slices, fixed.shape, (3, 39, 20), (5, 40, 21), strict=True):
        assert s.start <= low and high <= s.stop and (s.start == 0 or s.stop <= n)
    assert np.array_equal(box.crop(box.paste(np.stack([box.crop(fixed)] * 3))[0]), box.crop(fixed))


@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_normalization_ignores_scaling(factor):
    volume = np.random.default_rng(2).random((12, 12, 12))
    volume[volume < 0.3] = 0
    plain = normalize(volume, PreprocessConfig())
    assert plain.min() == 0 and plain.max() == 1
    assert np.allclose(normalize(factor * volume, PreprocessConfig()), plain, atol=1e-6)


def test_traces_of_an_interpolation_are_background():
    rng = np.random.default_rng(1)
    clean = np.zeros((16, 16, 16))
    clean[4:12, 4:12, 4:12] = rng.uniform(0.2, 1, (8, 8, 8))
    traces = clean + (clean == 0) * 10.0 ** rng.uniform(-40, -5, clean.shape)
    below = traces - (clean == 0) * rng.uniform(0, 0.05, clean.shape)
    expected = normalize(clean, PreprocessConfig())
    for spoiled in (traces, below):
        found = normalize(spoiled, PreprocessConfig())
        assert np.array_equal(found > 0, clean > 0)
        assert np.allclose(found, expected, atol=1e-6)


def test_far_below_zero_is_the_background():
    hounsfield = np.full((12, 12, 12), -1000.0)
    hounsfield[3:9, 3:9, 3:9] = np.random.default_rng(2).uniform(-100, 1500, (6, 6, 6))
    found = normalize(hounsfield, PreprocessConfig())
    assert np.array_equal(found > 0, hounsfield > -1000)


def test_overlap_counts_where_both_are_known():
    fixed, moving = np.zeros((2, 10, 10, 10), np.float32)
    fixed[:6], moving[4:] = 1, 1
    assert foreground_overlap(fixed, moving) == pytest.approx(2 * 2 / 12)
    known = np.zeros_like(fixed)
    known[4:] = 0.5
    assert foreground_overlap(fixed, moving, (None, known)) == pytest.approx(2 * 2 / 8)
    assert foreground_overlap(fixed, moving, (fixed, known)) == 1
    assert foreground_overlap(0 * fixed, moving) == 0
