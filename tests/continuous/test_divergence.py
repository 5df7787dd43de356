"""A level that diverges is undone: the result is that of the levels before it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from optreg.config import RegistrationConfig
from optreg.continuous import plan, refine
from optreg.kernels import cpu, get_backend

SHAPE = (24, 28, 20)
CONFIG = replace(RegistrationConfig().continuous, iterations=(6, 4, 3))


def refined(volumes, config, diverges_on=None):
    """Refinement in which steps on one level turn into NaN."""

    def compose_step(force, step, tau, field, out):
        cpu.compose_step(force, step, tau, field, out)
        if diverges_on is not None and field.shape[1] * diverges_on == SHAPE[0]:
            out[:, 2, 3, 4] = np.nan
        return out

    kernels = {name: getattr(cpu, name) for name in cpu.__all__}
    kernels["compose_step"] = compose_step
    backend = replace(get_backend("cpu"), kernels=SimpleNamespace(**kernels))
    return refine(*volumes, plan(["lncc"], [3], config), config, backend)


@pytest.mark.parametrize("one_sided", [True, False])
@pytest.mark.parametrize(("factor", "left"), [(1, (6, 4, 0)), (2, (6, 0, 0)), (4, (0, 0, 0))])
def test_diverged_level_is_undone(factor, left, one_sided, caplog):
    noise = np.random.default_rng(0).random((2, 3, *SHAPE), dtype=np.float32)
    volumes = [cpu.gaussian_filter(v, 1.5) for v in noise]
    config = replace(CONFIG, one_sided_finest=one_sided)
    *found, finite = refined(volumes, config, factor)
    *expected, sound = refined(volumes, replace(config, iterations=left))
    assert sound and not finite and "diverged on level" in caplog.text
    for ours, theirs in zip(found, expected, strict=True):
        assert np.array_equal(ours, theirs) and np.isfinite(ours).all()
    assert (np.abs(found[0]).max() > 0) == (factor < 4)


def test_a_level_without_iterations_is_passed_through():
    noise = np.random.default_rng(1).random((2, 3, *SHAPE), dtype=np.float32)
    config = replace(CONFIG, iterations=(6, 0, 3))
    *found, finite = refined([cpu.gaussian_filter(v, 1.5) for v in noise], config, 1)
    *expected, _ = refined(
        [cpu.gaussian_filter(v, 1.5) for v in noise], replace(config, iterations=(6, 0, 0))
    )
    assert not finite and np.array_equal(found[0], expected[0])
