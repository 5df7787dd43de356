"""Compile the kernels of a registration in several processes at once.

A process compiles one kernel after the other, for a minute in all. What one has compiled the others
find on disk; so where nothing is there yet, helpers take a part of the kernels.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.dispatcher import Dispatcher

from optreg.kernels import cpu
from optreg.kernels.cpu._jit import CACHED, is_compiled, kept_in

__all__ = ["compile_ahead", "take_part", "why_compiled"]

_log = logging.getLogger("optreg")

_MOST = 4
"""Processes; the largest kernel takes a fourth of the whole."""

_HELPER = """
import os, shutil, sys
from optreg.kernels.cpu.ahead import take_part
folder, parent = sys.argv[1], int(sys.argv[2])
take_part(folder, lambda: os.getppid() == parent)
if os.getppid() != parent:
    shutil.rmtree(folder, ignore_errors=True)
"""

# Threads of this process look one after the other, and wait for what one compiles for all.
_LOOKING, _COMPILING = threading.Lock(), threading.Lock()


@cache
def _calls() -> dict[Callable[..., Any], tuple[Any, ...]]:
    """Functions that most registrations use, the longest to compile first, and small arguments.

    Those that turn out to be compiled are taken out.
    """
    volume, disp = np.zeros((4, 4, 4), np.float32), np.zeros((3, 4, 4, 4), np.float32)
    result, some = np.zeros_like(disp), np.zeros(1, np.int64)
    return {
        cpu.lncc: (volume, volume, 1, 1e-6, result),
        cpu.minimum_determinant: (disp,),
        cpu.folding_sums: (disp,),
        cpu.jacobian_determinant: (disp,),
        cpu.invert: (disp,),
        cpu.gaussian_filter: (volume, 1.0),
        cpu.compose_step: (disp, 1.0, 1.0, disp, result),
        cpu.minimum_determinant_at: (disp, some),
        cpu.invert_at: (disp, some, result),
        cpu.relax_volume: (result, 0.1, np.zeros_like(volume)),
        cpu.ssd: (volume, volume, result),
        cpu.mind_ssc: (volume,),
        cpu.warp: (volume, disp),
        cpu.landing: (disp, some),
        cpu.upsample: (volume,),
        cpu.smooth_marked: (result, some),
        cpu.compose: (disp, disp),
        cpu.downsample: (volume,),
        cpu.root_mean_square: (disp,),
        cpu.spread: ([some], volume.shape),
    }


def _is_there(function: Callable[..., Any]) -> bool:
    """Whether all kernels that a function calls itself are in this process or on disk."""
    named = map(function.__globals__.get, function.__code__.co_names)
    return all(is_compiled(value) for value in named if isinstance(value, Dispatcher))


def compile_ahead() -> Callable[[], None] | None:
    """Give what compiles the kernels that no process has compiled yet, or None if none is left.

    It compiles in this process alone where nothing is kept for others to find, where only one
    thread is to be used, or where no helper can be started: an application that Python is built
    into would start another one of itself.
    """
    if not _missing():
        return None
    no_python = getattr(sys, "frozen", False) or not sys.executable
    alone = not CACHED or no_python
    return lambda: _together(0 if alone else min(_MOST, numba.get_num_threads()) - 1)


def why_compiled() -> str:
    """What is compiled, and why, in a sentence for who waits for it."""
    what = "compiling kernels for this processor, about a minute"
    if CACHED:
        return f"{what}, once; they are kept in {kept_in()}"
    return (
        f"{what}, in each process: {kept_in()} cannot be written and holds none for it; set "
        "NUMBA_CACHE_DIR to a folder that can, or fill one with 'optreg warm-up --cache FOLDER'"
    )


def _missing() -> bool:
    """Whether something is left to compile; what is there is not looked for again."""
    calls = _calls()
    with _LOOKING:
        for function in list(filter(_is_there, calls)):
            del calls[function]
        return bool(calls)


def _together(helpers: int) -> None:
    """Compile in this process and some more. What goes wrong with those is left to this one."""
    settings: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    # The same code, or what is compiled would be kept elsewhere; "" is the folder we are in.
    paths = os.pathsep.join(map(os.path.abspath, sys.path))
    settings["env"] = {**os.environ, "PYTHONPATH": paths}
    started: list[subprocess.Popen[bytes]] = []
    with _COMPILING, _claims() as claims:
        if not _missing():
            return  # another thread has done it meanwhile
        _log.warning("%s", why_compiled())
        if claims is None:
            take_part(None)
            return
        try:
            with suppress(OSError):
                for _ in range(helpers):
                    command = [sys.executable, "-c", _HELPER, claims, str(os.getpid())]
                    started.append(subprocess.Popen(command, cwd=claims, **settings))
            take_part(claims)
            for process in started:
                process.wait()
        finally:
            for process in started:
                process.kill()
                process.wait()


@contextmanager
def _claims() -> Iterator[str | None]:
    """A folder where processes note what they take; None where there can be no folder."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="optreg-")
    except OSError:
        yield None
        return
    with folder as path:
        yield path


def take_part(claims: str | None, wanted: Callable[[], bool] = lambda: True) -> None:
    """Compile what the next function needs that no process has claimed, until none is left.

    Parameters
    ----------
    claims : str, optional
        Folder where processes note what they take; without it, this one takes all.
    wanted : callable
        Whether to go on: a helper ends after the process that it helps.
    """
    for function, arguments in list(_calls().items()):
        if not wanted():
            break
        with suppress(FileExistsError):
            if claims is not None:
                Path(claims, function.__name__).touch(exist_ok=False)
            function(*arguments)
