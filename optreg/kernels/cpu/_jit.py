"""Numba decorators of the CPU kernels: one place for compiler options and the cache policy."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

import numba

_log = logging.getLogger("optreg")


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _cache_enabled() -> bool:
    """Say whether compiled code can be kept on disk, pointing numba at a folder that takes it.

    ``cache=True`` raises at import where neither the package folder nor the home folder is
    writable (containers with an arbitrary user id and no HOME), so this is decided before any
    decorator runs. NUMBA_CACHE_DIR, when set, is the user's decision and is only checked.
    """
    if os.environ.get("NUMBA_CACHE_DIR"):
        return _writable(Path(os.environ["NUMBA_CACHE_DIR"]))
    if _writable(Path(__file__).parent / "__pycache__"):
        return True
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if not _writable(user_cache / "optreg"):
        return False
    numba.config.CACHE_DIR = str(user_cache / "optreg")
    return True


def _wait_asleep() -> None:
    """Let threads that have nothing to do sleep, where neither user nor program chose otherwise.

    By default GNU OpenMP lets them spin for milliseconds. On a machine with other work, where a
    thread that is waited for may not have a processor, that took three times as long; on an idle
    one, sleeping costs up to a tenth. The library reads this when numba loads it.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "0"


CACHED = _cache_enabled()
_wait_asleep()

# No "nnan"/"ninf": a NaN has to stay visible, or a diverged field would look finite. No "reassoc":
# the order of a sum would be the compiler's choice, which depends on what it compiled before, and
# two machines (or two installations on one) would not give the same bits. So a sum is kept out of
# loops that have to be vectorized.
_SETTINGS = {"fastmath": {"contract", "arcp", "nsz"}, "error_model": "numpy", "nogil": True}


@cache
def _say_once(why: str) -> None:
    """Tell what the cache suffers from; it is the same for one kernel and the next."""
    _log.warning("compiled kernels cannot be kept on disk (%s): each process compiles them", why)


def _forgiving(operation: Callable[..., Any]) -> Callable[..., Any]:
    """The same, but nothing is loaded or saved where the disk does not allow it."""

    @wraps(operation)
    def tolerant(*args: Any, **kwargs: Any) -> Any:
        try:
            return operation(*args, **kwargs)
        except OSError as error:
            _say_once(error.strerror or type(error).__name__)
            return None

    return tolerant


def _tolerant(kernel: Any) -> Any:
    """Let a kernel work where its folder was writable at import and is not later: a full disk.

    Numba saves what it has just compiled in the call that needs it, and an error of the disk would
    end that call. This reaches into numba: where it looks different, errors remain what they are.
    """
    kept = getattr(kernel, "_cache", None)
    for name in ("load_overload", "save_overload"):
        operation = getattr(kept, name, None)
        if callable(operation):
            setattr(kept, name, _forgiving(operation))
    return kernel


def jit(function: Callable[..., Any]) -> Any:
    """Compile a serial helper that parallel kernels inline or call."""
    return _tolerant(numba.njit(cache=CACHED, **_SETTINGS)(function))


def inline_jit(function: Callable[..., Any]) -> Any:
    """Compile a helper that works on one row: handing arrays over would cost as much as the row."""
    return numba.njit(inline="always", **_SETTINGS)(function)


def parallel_jit(function: Callable[..., Any]) -> Any:
    """Compile a kernel whose ``prange`` loops run on all numba threads.

    Kernels keep every reduction inside one iteration of the parallel loop (one plane, one line),
    so that results do not depend on the number of threads.
    """
    return _tolerant(numba.njit(cache=CACHED, parallel=True, **_SETTINGS)(function))
