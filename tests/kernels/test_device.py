"""Choosing a device, with a CuPy that behaves as asked."""

from __future__ import annotations

import configparser
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

import optreg
import optreg.kernels
from optreg.errors import DeviceError, DeviceMemoryError
from optreg.kernels import get_backend
from optreg.kernels.gpu import Engine, device


class OutOfMemoryError(MemoryError):
    """As in ``cupy.cuda.memory``."""


class FakeDevice:
    """Context manager that knows which device is current."""

    current: ClassVar[list[int]] = []
    waits: ClassVar[list[int]] = []

    def __init__(self, index):
        self.index = index

    def __enter__(self):
        self.current.append(self.index)

    def __exit__(self, *error):
        self.current.pop()

    def synchronize(self):
        self.waits.append(self.index)


@pytest.fixture
def fake(monkeypatch):
    """CuPy on a machine with two GPUs; its parts can be changed."""
    cupy = ModuleType("cupy")
    freed = []
    runtime = SimpleNamespace(
        getDeviceCount=lambda: 2,
        memGetInfo=lambda: (3 * 2**30, 80 * 2**30),
        getDeviceProperties=lambda index: {"name": b"Fake %d" % index},
        driverGetVersion=lambda: 13010,
    )
    memory = SimpleNamespace(OutOfMemoryError=OutOfMemoryError)
    pool = SimpleNamespace(
        free_all_blocks=lambda: freed.append(True),
        free_bytes=lambda: 2**30,
        total_bytes=lambda: 5 * 2**30,
    )
    vars(cupy).update(
        {name: getattr(np, name) for name in ("empty", "float32", "int64", "ndarray", "zeros")},
        __version__="14.0",
        RawModule=lambda code: SimpleNamespace(get_function=lambda name: lambda *args: None),
        asarray=np.asarray,
        ascontiguousarray=np.ascontiguousarray,
        asnumpy=np.asarray,
        freed=freed,
        cuda=SimpleNamespace(runtime=runtime, memory=memory, Device=FakeDevice),
        get_default_memory_pool=lambda: pool,
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    device.cuda_backend.cache_clear()
    yield cupy
    device.cuda_backend.cache_clear()


def fails(*args):
    raise RuntimeError("cudaErrorNoDevice:\nno CUDA-capable device is detected")


def test_a_gpu_is_used_when_there_is_one(fake):
    assert get_backend("auto").name == get_backend("cuda").name == "cuda:0"
    assert get_backend("cuda:1").name == "cuda:1"
    assert get_backend("cpu").name == "cpu"
    assert device.describe(1) == "Fake 1, 3.0 of 80.0 GiB free, CUDA 13.1, CuPy 14.0"


@pytest.mark.parametrize("dtype", [">f4", ">i2", np.longdouble, np.uint8, np.float64, bool])
def test_any_real_array_gets_there(fake, dtype):
    values = np.array([[0, 1], [1, 0]], dtype).T
    there = get_backend("cuda").asarray(values)
    assert np.array_equal(there, values)
    assert there.dtype.isnative and there.itemsize <= 8 and there.flags.c_contiguous


def test_a_gpu_that_is_not_there(fake):
    with pytest.raises(DeviceError, match="cuda:2: there are 2 GPUs"):
        get_backend("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", ""])
def test_unknown_devices(fake, name):
    with pytest.raises(DeviceError, match="unknown device"):
        get_backend(name)


def test_cupy_without_a_driver(fake, caplog, monkeypatch):
    fake.cuda.runtime.getDeviceCount = fails
    monkeypatch.setattr(optreg.kernels, "find_spec", lambda name: name)
    optreg.kernels._say_once.cache_clear()
    with pytest.raises(DeviceError, match=r"cuda:0: no GPU that works .*no CUDA-capable") as error:
        get_backend("cuda")
    assert "\n" not in str(error.value)
    for _ in range(2):
        assert get_backend("auto").name == "cpu"
    (notice,) = caplog.records  # once, and seen without --verbose: who has CuPy expects a GPU
    assert notice.levelname == "WARNING" and "no CUDA-capable" in notice.getMessage()


def test_a_gpu_that_cannot_be_used(fake, monkeypatch):
    def no_compiler(code):
        raise RuntimeError("CuPy failed to load libnvrtc.so.12:\nno such file")

    fake.RawModule = no_compiler
    with pytest.raises(DeviceError, match=r"cuda:0: cannot be used .*libnvrtc") as error:
        get_backend("cuda")
    assert "\n" not in str(error.value)
    monkeypatch.setattr(optreg.kernels, "find_spec", lambda name: name)
    assert get_backend("auto").name == "cpu"


def test_a_gpu_that_another_process_has_for_itself(fake, caplog, monkeypatch):
    """There, the first thing that needs a context fails, and that is choosing the GPU."""

    def no_context(index):
        raise RuntimeError("cudaErrorDevicesUnavailable:\nCUDA-capable device(s) is/are busy")

    fake.cuda.Device = no_context
    with pytest.raises(DeviceError, match=r"cuda:1: cannot be used .*busy\)") as error:
        get_backend("cuda:1")
    assert "\n" not in str(error.value)
    monkeypatch.setattr(optreg.kernels, "find_spec", lambda name: name)
    optreg.kernels._say_once.cache_clear()
    assert get_backend("auto").name == "cpu" and "busy" in caplog.text


@pytest.mark.parametrize("version", ["13.6.0", "9.1", "13.0.0rc1"])
def test_a_cupy_that_is_too_old(fake, version, monkeypatch):
    fake.__version__ = version
    monkeypatch.setattr(optreg.kernels, "find_spec", lambda name: name)
    with pytest.raises(DeviceError, match=f"CuPy {version} is too old, 14 or later is needed; pip"):
        get_backend("cuda")
    assert get_backend("auto").name == "cpu"


@pytest.mark.parametrize("version", ["14.0.0rc1", "15.1", "unknown"])
def test_a_cupy_that_is_new_enough(fake, version):
    fake.__version__ = version
    assert get_backend("cuda").name == "cuda:0"


def test_the_oldest_cupy_is_that_of_the_installation():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    extras = setup["options.extras_require"]
    for name in ("cuda12", "cuda13"):
        assert extras[name].partition(">=")[2].strip() == str(device._OLDEST)


@pytest.mark.parametrize("broken", [False, True])
def test_no_cupy_or_a_broken_one(broken, monkeypatch, tmp_path):
    device.cuda_backend.cache_clear()
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it were not installed
    expected = "CuPy is not installed; pip install"
    if broken:
        monkeypatch.delitem(sys.modules, "cupy")
        (tmp_path / "cupy.py").write_text("raise ImportError('libcudart.so.13: not found')")
        monkeypatch.syspath_prepend(tmp_path)
        expected = r"CuPy cannot be loaded \(libcudart.so.13: not found\)"
    with pytest.raises(DeviceError, match=expected):
        get_backend("cuda")
    assert get_backend("auto").name == "cpu"


def test_memory_that_runs_out_is_a_device_error(fake):
    backend = get_backend("cuda:1")
    message = r"out of memory .*3072 of 81920 MB are free"
    with pytest.raises(DeviceError, match=message) as error, backend.active():
        assert FakeDevice.current == [1]
        raise OutOfMemoryError("Out of memory allocating 9,999 bytes\n(allocated so far: 1)")
    assert FakeDevice.current == [] and fake.freed == [True]
    assert "\n" not in str(error.value)


def test_waiting_is_for_the_chosen_device(fake):
    FakeDevice.waits.clear()
    get_backend("cuda:1").synchronize()
    assert FakeDevice.waits == [1]


def test_memory_is_asked_for_in_advance(fake):
    backend = get_backend("cuda")
    backend.require(4 * 2**30)  # what is free, and what CuPy keeps unused
    with pytest.raises(DeviceMemoryError, match="5120 MB of memory are needed, 4096 of 81920 MB"):
        backend.require(5 * 2**30)
    assert backend.peak_bytes() == 5 * 2**30


def test_more_values_than_a_gpu_can_number_are_a_lack_of_room(fake):
    """So that "auto" goes on with the CPU, as the next test has it."""
    engine = Engine(fake, lambda name: lambda *args: None)
    with pytest.raises(DeviceMemoryError, match="3000000000 values are too many for one kernel"):
        engine.launch("landing", 3_000_000_000)


def test_auto_goes_on_with_the_cpu_where_memory_is_short(fake, blobs, caplog, monkeypatch):
    def short(*args):
        raise DeviceMemoryError("cuda:0: 9 MB of memory are needed, 1 of 2 MB are free")

    gpu = replace(get_backend("cpu"), name="cuda:0", require=short)
    monkeypatch.setattr(optreg.kernels, "get_backend", lambda device: gpu)
    result = optreg.register(blobs, blobs, preset="fast")
    assert "9 MB of memory are needed" in caplog.text and "next device" in caplog.text
    assert result.quality["folded_voxels"] == 0
    with pytest.raises(DeviceMemoryError):
        optreg.register(blobs, blobs, preset="fast", device="cuda")


def test_a_folder_for_compiled_kernels_is_not_needed(fake, monkeypatch):
    for name in ("CUPY_CACHE_DIR", "CUPY_CACHE_IN_MEMORY"):
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/proc/nowhere")
    get_backend("cuda")
    assert device.os.environ["CUPY_CACHE_IN_MEMORY"] == "1"


def test_register_says_what_is_missing(blobs, monkeypatch):
    device.cuda_backend.cache_clear()
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match="CuPy is not installed"):
        optreg.register(blobs, blobs, device="cuda")
