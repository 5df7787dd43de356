"""The only place that knows one device from another."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from optreg.errors import ConfigError, DeviceError, DeviceMemoryError

__all__ = [
    "Backend",
    "available_threads",
    "cache_folder",
    "describe_cache",
    "get_backend",
    "get_backends",
    "thread_limit",
]

_log = logging.getLogger("optreg")

Work = Callable[[], None]
"""Something to do."""


@dataclass(frozen=True)
class Backend:
    """What a stage needs of a device: an array library and the hot operations.

    Attributes
    ----------
    name : str
        "cpu", "cuda:0", ...
    xp : module
        numpy, or its namesake on the device.
    kernels : module or namespace
        The functions of ``kernels.reference``, same names and signatures. What they return as a
        number may be an array without axes, which stays on the device.
    asarray, asnumpy : callable
        To the device and back.
    synchronize : callable
        Wait until the device has finished (for timings).
    active : callable
        Context manager inside which the device works; memory that runs out leaves it as a
        DeviceMemoryError.
    require : callable
        Raise a DeviceMemoryError unless so many bytes are free. The CPU does not know.
    peak_bytes : callable
        Most memory that arrays and work space have taken so far.
    repeated : callable
        Of work (a function without arguments or result) and how many voxels it is on: the same
        work, to be called many times. Nothing of it may depend on the host: it is done with the
        arrays that it has now, and may wait for no number.
    compile_ahead : callable
        What compiles kernels that have never been compiled on this machine, a function without
        arguments or result that takes a while; None where there is nothing to do.
    """

    name: str
    xp: ModuleType
    kernels: Any
    asarray: Callable[..., Any]
    asnumpy: Callable[..., Any]
    synchronize: Callable[[], None]
    active: Callable[[], AbstractContextManager[None]]
    require: Callable[[int], None]
    peak_bytes: Callable[[], int]
    repeated: Callable[[Work, int], Work] = lambda work, voxels: work
    compile_ahead: Callable[[], Work | None] = lambda: None


def _no_wait() -> None:
    """A CPU call has finished when it returns."""


def _no_limit(count: int) -> None:
    """The operating system says when there is no more."""


@contextmanager
def _host_memory() -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        why = f" ({error})" if str(error) else ""
        raise DeviceMemoryError(
            f"cpu: out of memory{why}; use smaller images or a machine with more memory"
        ) from error


def _peak_bytes() -> int:
    """Largest resident memory of this process; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _cpu_backend() -> Backend:
    import numpy

    from optreg.kernels import cpu
    from optreg.kernels.cpu.ahead import compile_ahead

    return Backend(
        "cpu",
        numpy,
        cpu,
        numpy.ascontiguousarray,
        numpy.asarray,
        _no_wait,
        _host_memory,
        _no_limit,
        _peak_bytes,
        compile_ahead=compile_ahead,
    )


def get_backend(device: str = "auto") -> Backend:
    """Backend of a device.

    Parameters
    ----------
    device : str
        "cpu", "cuda" (the first GPU), "cuda:N", or "auto": the first GPU if there is one that
        works, else the CPU.

    Raises
    ------
    DeviceError
        The device is not there.
    """
    kind, _, number = device.partition(":")
    if device == "cpu":
        return _cpu_backend()
    if device == "auto" or (kind == "cuda" and (number.isdecimal() or device == "cuda")):
        from optreg.kernels.gpu.device import cuda_backend

        try:
            return cuda_backend(int(number or 0))
        except DeviceError as error:
            if device != "auto":
                raise
            _say_once(str(error))
            return _cpu_backend()
    raise DeviceError(f"{device}: unknown device; use auto, cpu, cuda or cuda:N")


@cache
def _say_once(why: str) -> None:
    """Tell why there is no GPU: who has CuPy expects one."""
    level = logging.WARNING if find_spec("cupy") else logging.INFO
    _log.log(level, "the CPU is used: %s", why.partition(";")[0])


def get_backends(device: str = "auto") -> list[Backend]:
    """Backends to try in turn while the memory of one is too small; see `get_backend`.

    Raises
    ------
    DeviceError
        The device is not there.
    """
    best = get_backend(device)
    return [best, _cpu_backend()] if device == "auto" and best.name != "cpu" else [best]


def available_threads() -> int:
    """Number of CPU threads this process may use (affinity and NUMBA_NUM_THREADS counted)."""
    import numba

    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), int(numba.config.NUMBA_NUM_THREADS))
    return int(numba.config.NUMBA_NUM_THREADS)


@contextmanager
def thread_limit(threads: int | None) -> Iterator[None]:
    """Use so many CPU threads inside the block; None leaves the number as it is.

    Raises
    ------
    ConfigError
        Fewer than one, or more than `available_threads`.
    """
    import numba

    before = numba.get_num_threads()
    if threads is not None:
        if not 1 <= threads <= numba.config.NUMBA_NUM_THREADS:
            raise ConfigError(f"threads: {threads} is not in 1..{numba.config.NUMBA_NUM_THREADS}")
        numba.set_num_threads(threads)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def cache_folder() -> str | None:
    """Where compiled CPU kernels are kept, or None where no folder takes them."""
    from optreg.kernels.cpu import _jit

    return _jit.kept_in() if _jit.CACHED else None


def describe_cache() -> str:
    """Where compiled CPU kernels are kept, and whether they are there, in words."""
    from optreg.kernels.cpu import _jit
    from optreg.kernels.cpu.ahead import compile_ahead

    there = "not compiled yet" if compile_ahead() is not None else "compiled"
    if _jit.CACHED:
        return f"{_jit.kept_in()} ({there})"
    how = "read from there" if there == "compiled" else "each process compiles: set NUMBA_CACHE_DIR"
    return f"{_jit.kept_in()} (cannot be written; {how})"
