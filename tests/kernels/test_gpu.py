"""What only a GPU can show: memory, its end, and which device works."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import optreg
from optreg import continuous
from optreg.errors import DeviceError, DeviceMemoryError
from optreg.kernels import get_backend

pytestmark = pytest.mark.gpu


@pytest.fixture
def backend():
    try:
        return get_backend("cuda")
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.fixture
def pool(backend):
    """CuPy's memory pool, emptied."""
    cupy = backend.xp
    found = cupy.get_default_memory_pool()
    found.free_all_blocks()
    yield found
    found.set_limit(size=0)
    found.free_all_blocks()


def test_memory_of_the_refinement_is_what_was_asked_for(backend, pool):
    asked = []
    config = optreg.RegistrationConfig.preset("default").continuous
    config = replace(config, iterations=(1, 1, 1))
    volumes = np.random.default_rng(0).random((2, 3, 128, 144, 112), dtype=np.float32)
    with backend.active():
        volumes = [backend.asarray(v) for v in volumes]
        terms = continuous.plan(["lncc"], [3], config)
        continuous.refine(*volumes, terms, config, replace(backend, require=asked.append))
        # Blocks of the pool are of some size, and stay in it.
        assert pool.total_bytes() < 1.5 * asked[0]


def test_memory_that_runs_out_is_an_error_and_does_no_harm(backend, pool, blobs):
    pool.set_limit(size=2**20)
    with pytest.raises(DeviceMemoryError, match="out of memory"):
        optreg.register(blobs, blobs, preset="fast", device="cuda")
    pool.set_limit(size=0)
    assert optreg.register(blobs, blobs, preset="fast", device="cuda").disp.shape[0] == 3


def test_auto_takes_the_gpu(backend, blobs, monkeypatch):
    used = []
    monkeypatch.setattr(
        optreg.registration.continuous, "refine", lambda *args: used.append(args[4]) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        optreg.register(blobs, blobs)
    assert used[0].name == "cuda:0"
