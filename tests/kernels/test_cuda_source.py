"""The text of the CUDA kernels: its rules, its declarations, and that compilers take it."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest
from device_arrays import FUNCTIONS

from optreg.errors import DeviceError
from optreg.kernels.gpu import Engine, bind
from optreg.kernels.gpu.source import parameters, read_source


def test_declarations_are_read():
    found = parameters()
    assert len(found) == read_source().count("__global__") > 20
    assert [(p.name, p.dtype, p.pointer) for p in found["minimum_determinant_at"]] == [
        ("disp", "float32", True),
        ("index", "int64", True),
        ("count", "int32", False),
        ("nx", "int32", False),
        ("ny", "int32", False),
        ("nz", "int32", False),
        ("out", "float64", True),
    ]


@pytest.mark.parametrize("word", ["#include", "__shared__", "__syncthreads", "atomic", "printf"])
def test_what_could_not_be_tested_without_a_gpu_is_not_used(word):
    code = re.sub(r"//.*", "", read_source())
    assert word not in code


def test_nvcc_takes_it(tmp_path):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc")
    text = tmp_path / "kernels.cu"
    text.write_text(read_source())
    command = [nvcc, "-std=c++11", "-ptx", "-Werror", "all-warnings", "-o", tmp_path / "k", text]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(f".entry {name}(" in (tmp_path / "k").read_text() for name in parameters())


def test_the_run_time_compiler_takes_it():
    nvrtc = pytest.importorskip("cupy_backends.cuda.libs.nvrtc")
    try:
        program = nvrtc.createProgram(read_source(), "kernels.cu", [], [])
    except RuntimeError as error:
        pytest.skip(f"no NVRTC: {error}")
    try:
        nvrtc.compileProgram(program, ("-std=c++11", "-arch=compute_80"))
    except Exception:
        pytest.fail(nvrtc.getProgramLog(program))
    assert all(f".entry {name}(" in nvrtc.getPTX(program).decode() for name in parameters())


@pytest.fixture
def launches():
    return []


@pytest.fixture
def engine(launches):
    """An engine that only notes what it would run."""
    return Engine(np, lambda name: lambda *launch: launches.append((name, *launch)))


def test_numbers_are_converted_and_threads_counted(engine, launches):
    volume = np.zeros(600, np.float32)
    engine.launch("scatter", 600, volume, np.zeros(3, np.int64), 600, 1, 2, 3.0, volume)
    ((name, grid, block, args),) = launches
    assert name == "scatter" and grid == (3,) and block == (256,)
    assert [type(a) for a in args[2:6]] == [np.int32] * 4
    engine.launch("scatter", 0, volume, np.zeros(0, np.int64), 0, 1, 2, 3, volume)
    assert len(launches) == 1  # nothing to do is no launch: CUDA refuses an empty grid


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({0: np.zeros(6)}, TypeError, "scatter, values: dtype float64, not float32"),
        ({0: [0.0]}, TypeError, "list is no array of this device"),
        ({1: np.zeros(8, np.int64)[::2]}, ValueError, "not C-contiguous"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(engine, launches, change, error, message):
    args = [np.zeros(6, np.float32), np.zeros(6, np.int64), 2, 4, 4, 4, np.zeros(192, np.float32)]
    for at, value in change.items():
        args[at] = value
    with pytest.raises(error, match=message):
        engine.launch("scatter", 2, *args)
    assert launches == []


VOLUME, FIELD = np.zeros((6, 7, 8), np.float32), np.zeros((3, 6, 7, 8), np.float32)
SMALL = np.zeros((3, 4, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("warp", (VOLUME, FIELD, SMALL[0])),
        ("compose", (FIELD, FIELD, SMALL)),
        ("compose_step", (FIELD, 0.5, 1.0, SMALL, FIELD)),
        ("compose_step", (FIELD, 0.5, 1.0, FIELD, SMALL)),
        ("relax_volume", (FIELD, 0.1, SMALL[0])),
        ("gaussian_filter", (FIELD, 1.0, SMALL)),
        ("lncc", (VOLUME, SMALL[0], 2, 1e-6, FIELD)),
        ("lncc", (VOLUME, VOLUME, 2, 1e-6, SMALL)),
        ("ssd", (VOLUME, VOLUME, FIELD, 1.0, False, SMALL[0])),
    ],
)
def test_arrays_of_another_shape_are_refused(engine, launches, name, args):
    with pytest.raises(ValueError, match=r"array of shape \(.*\), not \("):
        getattr(bind(engine), name)(*args)
    assert launches == []


def test_all_arguments_are_needed(engine, launches):
    volume = np.zeros(6, np.float32)
    with pytest.raises(ValueError, match="argument"):
        engine.launch("scatter", 2, volume, np.zeros(6, np.int64), 2, 4, 4, 4)
    assert launches == []


def test_too_many_threads_are_refused(engine):
    with pytest.raises(DeviceError, match="too many"):
        engine.launch("scatter", 2**31)


def test_cupy_has_what_is_used_of_it():
    cupy = pytest.importorskip("cupy")  # it can be imported without a GPU
    assert [name for name in FUNCTIONS if not callable(getattr(cupy, name, None))] == []
