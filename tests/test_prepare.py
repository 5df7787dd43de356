"""From images on any grid to volumes in one box."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_heads import SHAPE

import optreg
from optreg.errors import GeometryError
from optreg.inputs import Inputs
from optreg.kernels import get_backend
from optreg.prepare import prepare
from optreg.transform import DisplacementField

BACKEND = get_backend("cpu")
CONFIG = optreg.RegistrationConfig()
GRID = optreg.Grid(SHAPE, np.eye(4))


def image(data, shift=(0, 0, 0), spacing=1.0):
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = shift
    return optreg.Image(data, optreg.Grid(data.shape, affine))


@pytest.fixture
def inputs(pair):
    return Inputs((image(pair[0]),), (image(pair[1]),))


def test_volumes_of_a_plain_pair(inputs, pair):
    volumes = prepare(inputs, None, CONFIG, BACKEND)
    assert volumes.regions == (None, None)
    for found, data in zip((volumes.fixed, volumes.moving), pair[:2], strict=True):
        assert found[0].dtype == np.float32 and found[0].shape == volumes.box.shape
        inside = volumes.box.crop(data)
        assert found[0].max() == 1 and np.array_equal(found[0] > 0, inside > 0)
        below = inside < 0.9 * inside.max()
        ratio = found[0][below & (inside > 0)] / inside[below & (inside > 0)]
        assert np.ptp(ratio) < 1e-5


def test_the_place_in_the_world_counts(inputs, pair):
    away = np.pad(pair[1], ((3, 2), (0, 4), (1, 0)))
    moved = replace(inputs, moving=(image(away, (-3, 0, -1)),))
    plain, found = (prepare(i, None, CONFIG, BACKEND) for i in (inputs, moved))
    assert found.box == plain.box
    assert np.allclose(found.moving[0], plain.moving[0], atol=1e-4)
    lost = replace(inputs, moving=(image(pair[1], (500, 0, 0)),))
    with pytest.raises(GeometryError, match="do not overlap"):
        prepare(lost, None, CONFIG, BACKEND)


def test_finer_image_is_smoothed_not_picked_from(inputs):
    """Stripes that the fixed grid cannot show become grey, as in an image of that resolution."""
    ball = np.sqrt(((np.indices(SHAPE).T - (np.array(SHAPE) - 1) / 2) ** 2).sum(-1).T) < 16
    fine = np.kron(ball, np.ones((4, 4, 4))) * np.where(np.arange(4 * SHAPE[0]) % 4 < 2, 1, 3)[
        :, None, None
    ].astype(np.float32)
    stripes = image(fine.astype(np.float32), (-0.375,) * 3, 0.25)
    found = prepare(replace(inputs, moving=(stripes,)), None, CONFIG, BACKEND)
    inside = found.box.crop(ball.astype(np.uint8))[2:-2, 2:-2, 2:-2] > 0
    middle = found.moving[0][2:-2, 2:-2, 2:-2][inside]
    assert np.percentile(middle, 5) > 0.8 * np.percentile(middle, 95)


def test_mask_and_weights_on_the_fixed_grid(inputs):
    mask = np.ones(SHAPE, np.uint8)
    mask[:20] = 0
    weights = np.full(SHAPE, 0.5, np.float32)
    given = replace(inputs, fixed_mask=image(mask), weights=image(weights))
    fixed, moving = prepare(given, None, CONFIG, BACKEND).regions
    assert moving is None and set(np.unique(fixed)) == {0.0, 0.5}


def test_moving_mask_follows_the_start(inputs):
    mask = np.ones(SHAPE, np.uint8)
    mask[:20] = 0
    start = np.zeros((3, *SHAPE), np.float32)
    start[0] = 4
    given = replace(inputs, moving_mask=image(mask))
    volumes = prepare(given, DisplacementField(start, GRID), CONFIG, BACKEND)
    whole = volumes.box.paste(np.stack([volumes.regions[1]] * 3))[0]
    assert not whole[:16].any() and whole[16:43].all()


def test_unknown_foreground_is_continued_from_the_known(inputs, pair):
    mask = np.ones(SHAPE, np.uint8)
    mask[20:28, 20:28, 20:28] = 0
    spoiled = np.where(mask > 0, pair[0], np.float32(100))
    given = replace(inputs, fixed=(image(spoiled),), fixed_mask=image(mask))
    found = prepare(given, None, CONFIG, BACKEND)
    clean = prepare(replace(inputs, fixed_mask=image(mask)), None, CONFIG, BACKEND)
    assert np.array_equal(found.fixed[0], clean.fixed[0])
    hole = found.box.crop(1 - mask) > 0
    assert 0.2 < found.fixed[0][hole].min() and found.fixed[0][hole].max() < 0.98


def test_unknown_beyond_a_cut_field_of_view(inputs, pair):
    cut = replace(inputs, moving=(image(pair[1][:, 20:], (0, 20, 0)),))
    _, region = prepare(cut, None, CONFIG, BACKEND).regions
    assert region is not None and 0.5 < region.mean() < 0.9
    # The head ends before the field of view does: what is beyond is background.
    complete = replace(inputs, moving=(image(pair[1][:, 2:], (0, 2, 0)),))
    assert prepare(complete, None, CONFIG, BACKEND).regions == (None, None)
