"""A level: the order of its iterations, the course of its steps, and that it leaves no waste."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from optreg.config import RegistrationConfig
from optreg.continuous.level import Level
from optreg.continuous.region import Region
from optreg.continuous.similarity import plan
from optreg.kernels import get_backend

SHAPE = (24, 22, 26)
CONFIG = replace(
    RegistrationConfig().continuous, iterations=(3, 5, 4), structure_iterations=(0, 2, 0)
)


def level(number, backend=None, regions=(None, None), still_axes=()):
    backend = backend or get_backend("cpu")
    noise = np.random.default_rng(3).random((2, 3, *SHAPE), dtype=np.float32)
    volumes = ndimage.gaussian_filter(noise, (0, 0, 2, 2, 2))
    fields = tuple(np.zeros((3, *SHAPE), np.float32) for _ in range(2 if number < 2 else 1))
    terms = plan(["lncc"], [3], CONFIG)[number]
    return Level(
        number, tuple(volumes), fields, terms, CONFIG, backend, regions, still_axes
    ), fields


def test_the_structure_term_comes_last():
    done = []

    def repeated(work, voxels):
        assert voxels == np.prod(SHAPE)
        return lambda: done.append(work.args)

    backend = replace(get_backend("cpu"), repeated=repeated)
    for number, expected in ((0, [False] * 3), (1, [False] * 3 + [True] * 2), (2, [False] * 4)):
        done.clear()
        for count, _ in enumerate(level(number, backend)[0].run(), start=1):
            assert len(done) == count
        assert done == [(structured,) for structured in expected]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_every_iteration_climbs_and_is_kept(number):
    work, fields = level(number)
    for _ in work.run():
        pass
    assert len(work.values) == CONFIG.iterations[number]
    assert work.values[-1] > work.values[0] > 0
    assert all(field.any() for field in fields)


def test_axes_that_are_still():
    work, fields = level(1, still_axes=(0, 2))
    for _ in work.run():
        pass
    for field in fields:
        assert field[1].any() and not field[[0, 2]].any()


def test_where_nothing_counts_nothing_moves():
    nothing = Region(np.zeros(SHAPE, np.float32), get_backend("cpu"))
    work, fields = level(0, regions=(nothing, None))
    for _ in work.run():
        pass
    assert not any(field.any() for field in fields)


def test_memory_of_a_level_is_free_when_it_is_over():
    work, _ = level(0)
    for _ in work.run():
        pass
    left = weakref.ref(work)
    gc.disable()  # nothing may have to be looked for
    try:
        del work
        assert left() is None
    finally:
        gc.enable()
