"""The GPU itself: what is there, CuPy, memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from typing import Any

import numpy as np

from optreg.errors import DeviceError, DeviceMemoryError
from optreg.kernels import Backend
from optreg.kernels.gpu import Engine, bind
from optreg.kernels.gpu.graph import Recorder, repeated
from optreg.kernels.gpu.source import read_source

__all__ = ["cuda_backend", "describe", "to_device"]

_INSTEAD = "or use --device cpu"
_OLDEST = 14
"""Version of CuPy from which on it has what is used of it; setup.cfg asks for the same."""


def _import_cupy(device: str) -> Any:
    # CuPy keeps compiled kernels below the home folder, and fails where that cannot be written.
    if "CUPY_CACHE_DIR" not in os.environ and not os.access(os.path.expanduser("~"), os.W_OK):
        os.environ.setdefault("CUPY_CACHE_IN_MEMORY", "1")
    try:
        import cupy
    except ImportError as error:
        if getattr(error, "name", None) == "cupy":
            raise DeviceError(
                f"{device}: CuPy is not installed; pip install 'optreg[cuda12]' or [cuda13], "
                f"{_INSTEAD}"
            ) from error
        raise DeviceError(f"{device}: CuPy cannot be loaded ({error}); {_INSTEAD}") from error
    version = str(getattr(cupy, "__version__", ""))
    major = version.partition(".")[0]
    if major.isdecimal() and int(major) < _OLDEST:
        raise DeviceError(
            f"{device}: CuPy {version} is too old, {_OLDEST} or later is needed; "
            f"pip install --upgrade 'optreg[cuda12]' or [cuda13], {_INSTEAD}"
        )
    return cupy


def to_device(array: Any, xp: Any) -> Any:
    """C-contiguous array of CuPy, which has no foreign byte orders and no long double."""
    if isinstance(array, np.ndarray) and not (array.dtype.isnative and array.itemsize <= 8):
        array = array.astype(np.float64)
    return xp.ascontiguousarray(xp.asarray(array))


def _count(cupy: Any, device: str) -> int:
    """Number of GPUs."""
    try:
        return int(cupy.cuda.runtime.getDeviceCount())
    except Exception as error:  # whatever a missing or broken driver raises
        reason = " ".join(str(error).split())
        raise DeviceError(f"{device}: no GPU that works ({reason}); {_INSTEAD}") from error


class _Memory:
    """Of a GPU: how much there is, and errors where it runs out; see `Backend`."""

    def __init__(self, cupy: Any, index: int):
        self._cupy, self._index = cupy, index
        self._name = f"cuda:{index}"
        self._pool = cupy.get_default_memory_pool()

    @contextmanager
    def active(self) -> Iterator[None]:
        cuda = self._cupy.cuda
        with cuda.Device(self._index):
            try:
                yield
            except cuda.memory.OutOfMemoryError as error:
                # Nothing of the failed registration is needed any more.
                self._pool.free_all_blocks()
                free, total = (n // 2**20 for n in cuda.runtime.memGetInfo())
                raise DeviceMemoryError(
                    f"{self._name}: out of memory ({' '.join(str(error).split())}); "
                    f"{free} of {total} MB are free; {_INSTEAD}"
                ) from error

    def require(self, count: int) -> None:
        free, total = self._cupy.cuda.runtime.memGetInfo()
        free += self._pool.free_bytes()
        if count > free:
            raise DeviceMemoryError(
                f"{self._name}: {count // 2**20} MB of memory are needed, {free // 2**20} of "
                f"{total // 2**20} MB are free; {_INSTEAD}"
            )

    def peak_bytes(self) -> int:
        with self._cupy.cuda.Device(self._index):
            # The pool keeps what it has taken, so that is the most.
            return int(self._pool.total_bytes())


@cache
def cuda_backend(index: int = 0) -> Backend:
    """Backend of a GPU.

    Raises
    ------
    DeviceError
        No CuPy, no driver, no such GPU, or one that does not work.
    """
    name = f"cuda:{index}"
    cupy = _import_cupy(name)
    count = _count(cupy, name)
    if index >= count:
        raise DeviceError(f"{name}: there are {count} GPUs, numbered from 0; {_INSTEAD}")
    module, memory = cache(lambda: cupy.RawModule(code=read_source())), _Memory(cupy, index)
    backend = Backend(
        name,
        cupy,
        bind(Engine(cupy, lambda kernel: module().get_function(kernel))),
        partial(to_device, xp=cupy),
        cupy.asnumpy,
        lambda: cupy.cuda.Device(index).synchronize(),
        memory.active,
        memory.require,
        memory.peak_bytes,
        partial(repeated, record=Recorder(cupy)),
    )
    _try_out(backend, lambda: cupy.cuda.Device(index))
    return backend


def _try_out(backend: Backend, chosen: Callable[[], AbstractContextManager[Any]]) -> None:
    """Run something small: a GPU that is counted may lack a compiler, or be taken or full.

    Raises
    ------
    DeviceError
        It does not work.
    """
    xp = backend.xp
    try:
        with chosen():
            field, first = xp.zeros((3, 2, 2, 2), xp.float32), xp.zeros(1, xp.int64)
            backend.asnumpy(backend.kernels.landing(field, first) + 1)
    except Exception as error:  # whatever libraries that are missing or do not fit raise
        reason = " ".join(str(error).split())
        raise DeviceError(f"{backend.name}: cannot be used ({reason}); {_INSTEAD}") from error


def describe(index: int = 0) -> str:
    """Name, memory and driver of a GPU, in words.

    Raises
    ------
    DeviceError
        As `cuda_backend`.
    """
    cupy = _import_cupy(f"cuda:{index}")
    cuda_backend(index)
    properties = cupy.cuda.runtime.getDeviceProperties(index)
    driver = cupy.cuda.runtime.driverGetVersion()
    with cupy.cuda.Device(index):
        free, total = (n / 2**30 for n in cupy.cuda.runtime.memGetInfo())
    return (
        f"{properties['name'].decode()}, {free:.1f} of {total:.1f} GiB free, "
        f"CUDA {driver // 1000}.{driver % 1000 // 10}, CuPy {cupy.__version__}"
    )
