"""Numba decorators of the CPU kernels: one place for compiler options and the cache policy."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache, wraps
from pathlib import Path
from typing import Any

import numba

_log = logging.getLogger("optreg")


BESIDE_CODE = Path(__file__).parent / "__pycache__"
"""Where compiled kernels are kept if it can be written."""


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
    decorator runs. NUMBA_CACHE_DIR, when set, is the user's decision and is only checked. What
    lies in a folder that cannot be written is read all the same (`_Readable`).
    """
    if os.environ.get("NUMBA_CACHE_DIR"):
        return _writable(Path(os.environ["NUMBA_CACHE_DIR"]))
    if _writable(BESIDE_CODE):
        return True
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if not _writable(user_cache / "optreg"):
        return False
    numba.config.CACHE_DIR = str(user_cache / "optreg")
    return True


def kept_in() -> str:
    """Folder of compiled code, whether it can be written or not."""
    return str(getattr(numba.config, "CACHE_DIR", "") or BESIDE_CODE)


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


class _Readable:
    """Lets numba use a folder of compiled code that cannot be written, or is not written to."""

    def ensure_cache_path(self: Any) -> None:
        if not os.path.isdir(self.get_cache_path()):
            raise OSError


@cache
def _reading_cache() -> Any | None:
    """Class of caches that only read: what the user's folder has, else what is beside the code.

    None where numba looks different from what is known here.
    """
    from numba.core import caching

    name = "UserProvidedCacheLocator" if os.environ.get("NUMBA_CACHE_DIR") else "InTreeCacheLocator"
    try:
        # Their names had a leading underscore once.
        place = getattr(caching, name, None) or getattr(caching, f"_{name}")
        how = {"_locator_classes": [type(name, (_Readable, place), {})]}  # type: ignore[dict-item]
        implementation = type("ReadImpl", (caching.CompileResultCacheImpl,), how)
        return type("ReadCache", (caching.FunctionCache,), {"_impl_class": implementation})
    except AttributeError:
        return None


def _caches(kernel: Any) -> list[Any]:
    """Where code of a kernel is looked for: where it is kept first, then where it may only lie."""
    found = [cache for cache in (getattr(kernel, "_cache", None),) if _place(cache)]
    if (reading := _reading_cache()) is not None:
        with suppress(RuntimeError, OSError):  # there is no such folder
            other = reading(kernel.py_func)
            if _place(other) not in map(_place, found):
                found.append(other)
    return found


def _place(cache: Any) -> str | None:
    return getattr(cache, "cache_path", None)


def is_compiled(kernel: Any) -> bool:
    """Whether code of a kernel for this processor is in this process or on disk."""
    from numba.core.registry import cpu_target

    if kernel.signatures:
        return True
    processor = cpu_target.target_context.codegen().magic_tuple()
    for kept in _caches(kernel):
        with suppress(Exception):  # a damaged index is none
            # A key is the signature, the processor, and the code.
            if any(key[1] == processor for key in kept._cache_file._load_index()):
                return True
    return False


def _tolerant(kernel: Any) -> Any:
    """Let a kernel work where its folder cannot be written, or not any more: a full disk.

    Numba saves what it has just compiled in the call that needs it, and an error of the disk would
    end that call; and it does not read where it cannot write. This reaches into numba: where it
    looks different, it does what it does.
    """
    kept = getattr(kernel, "_cache", None)
    for name in ("load_overload", "save_overload"):
        operation = getattr(kept, name, None)
        if callable(operation):
            setattr(kept, name, _forgiving(operation))
    load = getattr(kept, "load_overload", None)
    if kept is None or not callable(load):
        return kernel

    def load_from_anywhere(signature: Any, context: Any) -> Any:
        found = load(signature, context)
        if found is None:
            for other in _caches(kernel):
                if other is not kept and (
                    found := _forgiving(other.load_overload)(signature, context)
                ):
                    break
        return found

    kept.load_overload = load_from_anywhere
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
