"""The objective of a level: its terms, their weights, and that its force is uphill."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from optreg.config import RegistrationConfig
from optreg.continuous.similarity import Objective, Terms, plan
from optreg.kernels import get_backend

BACKEND = get_backend("cpu")
CONFIG = RegistrationConfig().continuous
SHAPE = (18, 20, 16)


def pair():
    """Three channels each, as in the pipeline."""
    noise = np.random.default_rng(3).random((2, 3, *SHAPE))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 1.5, 1.5, 1.5))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return smooth.astype(np.float32)


def zeros(count):
    return [np.zeros((3, *SHAPE), np.float32) for _ in range(count)]


def value_and_force(terms, fields, structured=True):
    objective = Objective(*pair(), terms, 2, CONFIG, BACKEND)
    force = np.empty((3, *SHAPE), np.float32)
    return objective(fields, force, structured), force


def test_plan_of_the_levels():
    coarse, middle, finest = plan(["lncc"], [3], CONFIG)
    assert coarse.correlation == middle.correlation == (1.0, CONFIG.tissue_correlation[0], 0.0)
    assert coarse.difference == (0.0, 0.0, 0.0)
    assert finest.correlation == (1.0, 0.0, 0.0)
    for terms, weight in zip((middle, finest), CONFIG.tissue_difference[1:], strict=True):
        assert terms.difference == (0.0, weight, weight)
    assert [t.channels for t in (coarse, middle, finest)] == [2, 3, 3]
    assert [t.passes for t in (coarse, middle, finest)] == [2, 4, 3]
    assert [t.structure for t in (coarse, middle, finest)] == list(CONFIG.structure_weight)
    assert middle.structure_iterations == CONFIG.structure_iterations[1]
    two_contrasts = plan(["tissue"], [3], CONFIG)
    assert two_contrasts[0] == coarse
    assert two_contrasts[1] == replace(middle, difference=coarse.difference)
    assert two_contrasts[2] == replace(finest, correlation=coarse.correlation)
    one_map = plan(["lncc"], [2], CONFIG)
    assert one_map[0].correlation == (1.0, 1.0) and one_map[2].difference == (0.0, 2.0)


def test_plan_of_mind_weighs_all_channels_alike():
    for terms in plan(["mind"], [12], CONFIG):
        assert terms.channels == 12 and not any(terms.correlation)
        assert len(set(terms.difference)) == 1 and terms.difference[0] > 0
        assert terms.structure == 0


@pytest.mark.parametrize(
    ("correlation", "difference", "channels"),
    [((1, 0, 0), (0, 0, 0), 1), ((1, 1, 0), (0, 0, 0), 2), ((1, 0, 0), (0, 2, 2), 3)],
)
def test_channels_without_weight_at_the_end_are_not_touched(correlation, difference, channels):
    terms = Terms(correlation, difference)
    assert terms.channels == channels
    spoiled = pair()
    spoiled[:, channels:] = np.nan
    force = np.empty((3, *SHAPE), np.float32)
    value = Objective(*spoiled, terms, 2, CONFIG, BACKEND)(zeros(2), force, 0)
    expected = value_and_force(terms, zeros(2))
    assert value == expected[0] and np.array_equal(force, expected[1])


TERMS = [
    Terms((1.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    Terms((1.0, 0.5, 0.0), (0.0, 0.0, 0.0)),
    Terms((0.0, 0.0, 0.0), (0.0, 6.0, 0.0)),
    Terms((1.0, 0.0, 0.0), (0.0, 6.0, 3.0)),
    Terms((1.0, 1.0, 0.0), (0.0, 0.0, 0.0), 2.4, 3),
]


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("count", [1, 2])
def test_following_the_force_raises_the_value(terms, count):
    before, force = value_and_force(terms, zeros(count))
    step = 0.05 * force / np.abs(force).max()
    fields = [step] if count == 1 else [-step, step]
    fields = [np.ascontiguousarray(f, np.float32) for f in fields]
    assert value_and_force(terms, fields)[0] > before


def test_terms_add_up():
    parts = [
        Terms((1.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        Terms((0.0, 0.5, 0.0), (0.0, 0.0, 0.0)),
        Terms((0.0, 0.0, 0.0), (0.0, 6.0, 0.0)),
        Terms((0.0, 0.0, 0.0), (0.0, 0.0, 3.0)),
    ]
    forces = [value_and_force(t, zeros(1))[1] for t in parts]
    whole = value_and_force(Terms((1.0, 0.5, 0.0), (0.0, 6.0, 3.0)), zeros(1))[1]
    assert np.allclose(sum(forces), whole, atol=1e-5 * np.abs(whole).max())


def test_structure_term_is_there_when_it_is_asked_for():
    plain = value_and_force(TERMS[1], zeros(2))[1]
    terms = replace(TERMS[1], structure=2.4, structure_iterations=2)
    assert np.array_equal(value_and_force(terms, zeros(2), structured=False)[1], plain)
    assert not np.allclose(value_and_force(terms, zeros(2), structured=True)[1], plain)


def test_equal_images_have_no_force():
    image = pair()[0]
    terms = Terms((1.0, 1.0, 0.0), (0.0, 6.0, 6.0), 1.0, 1)
    objective = Objective(image, image.copy(), terms, 0, CONFIG, BACKEND)
    force = np.empty((3, *SHAPE), np.float32)
    objective(zeros(2), force, True)
    other = value_and_force(terms, zeros(2))[1]
    # Flat windows alone are not perfectly correlated (eps), so there is a trace of a force.
    assert np.abs(force).max() < 0.05 * np.abs(other).max()
