"""The kernels of every backend, as functions of NumPy arrays."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from cuda_host import backend_named


class OnNumpy:
    """Kernels of a backend that take NumPy arrays, change them in place, and return some."""

    def __init__(self, backend):
        self.backend = backend

    def __getattr__(self, name):
        return functools.partial(self._call, getattr(self.backend.kernels, name))

    def _call(self, function, *args, **options):
        if self.backend.xp is np:
            return function(*args, **options)
        copies = {}

        def moved(value):
            if isinstance(value, np.ndarray):
                return copies.setdefault(id(value), (value, self.backend.asarray(value)))[1]
            return [moved(part) for part in value] if isinstance(value, list) else value

        result = function(*map(moved, args), **{k: moved(v) for k, v in options.items()})
        for original, copy in copies.values():
            original[...] = self.backend.asnumpy(copy)
        for original, copy in copies.values():
            if result is copy:
                return original
        return self.backend.asnumpy(result) if hasattr(result, "dtype") else result


@pytest.fixture(
    params=["cpu", "cuda-host", pytest.param("cuda", marks=pytest.mark.gpu)], scope="session"
)
def kernels(request):
    """Kernels of one backend after the other."""
    return OnNumpy(backend_named(request.param))


@pytest.fixture(scope="session")
def cuda_host_backend():
    """The CUDA kernels as C++."""
    return backend_named("cuda-host")
