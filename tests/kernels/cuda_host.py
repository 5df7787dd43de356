"""The CUDA kernels as C++ on the CPU: the same text, the same launches, arrays as
strict as those of CuPy.
"""

from __future__ import annotations

import contextlib
import ctypes
import shutil
import subprocess
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp

import device_arrays
import numpy as np
import pytest
from device_arrays import DeviceArray, do

from optreg.errors import DeviceError
from optreg.kernels import Backend, get_backend
from optreg.kernels.gpu import Engine, bind
from optreg.kernels.gpu.device import to_device
from optreg.kernels.gpu.graph import repeated
from optreg.kernels.gpu.source import parameters, read_source

_HEADER = Path(__file__).with_name("cuda_host.h")


def compiler() -> str | None:
    """C++ compiler, or None."""
    return shutil.which("g++") or shutil.which("clang++")


@cache
def library() -> ctypes.CDLL:
    """All kernels, each behind ``launch_NAME(blocks, threads, pointers to the arguments)``."""
    folder = Path(mkdtemp(prefix="optreg-cuda-host-"))
    doors = "\n".join(
        f'extern "C" void launch_{name}(unsigned blocks, unsigned threads, void** args)'
        f"{{ launch({name}, blocks, threads, args); }}"
        for name in parameters()
    )
    text = folder / "kernels.cpp"
    text.write_text("\n".join([_HEADER.read_text(), read_source(), doors]))
    built = folder / "kernels.so"
    # No contraction to fused operations: as close to the NumPy reference as it can be.
    flags = ["-std=c++17", "-O2", "-fPIC", "-shared", "-fopenmp", "-ffp-contract=off", "-Wall"]
    command = [compiler(), *flags, "-Werror", "-Wno-unknown-pragmas", str(text), "-o", str(built)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = ctypes.CDLL(str(built))
    shutil.rmtree(folder)
    return loaded


def function(name):
    door = getattr(library(), f"launch_{name}")
    door.restype = None

    def run(grid, block, args):
        held = [
            ctypes.c_void_p(a.held.ctypes.data) if isinstance(a, DeviceArray) else np.array(a)
            for a in args
        ]
        pointers = [
            ctypes.cast(ctypes.byref(h), ctypes.c_void_p)
            if isinstance(h, ctypes.c_void_p)
            else ctypes.c_void_p(h.ctypes.data)
            for h in held
        ]
        packed = (ctypes.c_void_p * len(pointers))(*pointers)
        # `pointers` and `args` live as long as the launch may be played.
        do(lambda _held=(pointers, held, args): door(grid[0], block[0], packed))

    return run


def backend() -> Backend:
    """Backend "cuda-host": what stands for CuPy as `xp`, the CUDA kernels for the rest."""
    return Backend(
        "cuda-host",
        device_arrays.xp,
        bind(Engine(device_arrays.xp, function)),
        partial(to_device, xp=device_arrays.xp),
        device_arrays.asnumpy,
        lambda: None,
        contextlib.nullcontext,
        lambda count: None,
        lambda: 0,
        partial(repeated, record=device_arrays.record),
    )


def backend_named(name):
    """Backend "cpu", "cuda-host" or "cuda"; the test is skipped where it is not there."""
    if name == "cuda-host":
        if compiler() is None:
            pytest.skip("no C++ compiler")
        return backend()
    try:
        return get_backend(name)
    except DeviceError as error:
        pytest.skip(str(error))
