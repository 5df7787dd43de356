"""The only place that knows one device from another."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from optreg.errors import ConfigError, DeviceError

__all__ = ["Backend", "available_threads", "cache_folder", "get_backend", "thread_limit"]


@dataclass(frozen=True)
class Backend:
    """What a stage needs of a device: an array library and the hot operations.

    Attributes
    ----------
    name : str
        "cpu", "cuda:0", ...
    xp, ndimage : module
        numpy and scipy.ndimage, or their namesakes on the device.
    kernels : module
        The functions of ``kernels.reference``, same names and signatures.
    asarray, asnumpy : callable
        To the device and back.
    synchronize : callable
        Wait until the device has finished (for timings).
    """

    name: str
    xp: ModuleType
    ndimage: ModuleType
    kernels: ModuleType
    asarray: Callable[..., Any]
    asnumpy: Callable[..., Any]
    synchronize: Callable[[], None]


def _nothing() -> None:
    """A CPU call has finished when it returns."""


def _cpu_backend() -> Backend:
    import numpy
    import scipy.ndimage

    from optreg.kernels import cpu

    return Backend(
        "cpu", numpy, scipy.ndimage, cpu, numpy.ascontiguousarray, numpy.asarray, _nothing
    )


def get_backend(device: str = "auto") -> Backend:
    """Backend of a device.

    Parameters
    ----------
    device : str
        "auto" (the best there is) or "cpu". "cuda" and "cuda:N" are reserved for the GPU backend.

    Raises
    ------
    DeviceError
        The device is not there.
    """
    if device in ("auto", "cpu"):
        return _cpu_backend()
    if device.split(":")[0] == "cuda":
        raise DeviceError(f"{device}: this version has no GPU backend; use --device cpu")
    raise DeviceError(f"{device}: unknown device; use auto or cpu")


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
    import numba

    from optreg.kernels.cpu import _jit

    if not _jit.CACHED:
        return None
    beside_code = os.path.join(os.path.dirname(_jit.__file__), "__pycache__")
    return str(getattr(numba.config, "CACHE_DIR", "") or beside_code)
