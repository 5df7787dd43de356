"""Iterations that are recorded and played give what they give one by one."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import device_arrays
import numpy as np
import pytest
from cuda_host import backend_named

import optreg
import optreg.registration
from optreg.config import ContinuousConfig
from optreg.kernels import get_backend
from optreg.kernels.gpu.graph import Recorder, Repeated, repeated

CONFIG = replace(
    optreg.RegistrationConfig(),
    continuous=ContinuousConfig(iterations=(6, 7, 4), structure_iterations=(0, 3, 1)),
)


@pytest.fixture(params=["cuda-host", pytest.param("cuda", marks=pytest.mark.gpu)])
def backend(request):
    return backend_named(request.param)


@pytest.mark.parametrize(
    "options",
    [{}, {"similarity": "mind"}, {"similarity": "tissue"}, {"axes": "ik"}, {"weights": True}],
    ids=str,
)
def test_playing_changes_nothing(backend, pair, options, monkeypatch, caplog):
    fixed, moving = pair[:2]
    if "weights" in options:
        options = {"weights": np.linspace(0, 1, fixed.size, dtype=np.float32).reshape(fixed.shape)}
    results, recorded = [], []

    def watched(work, voxels):
        recorded.append(backend.repeated(work, voxels))
        return recorded[-1]

    with caplog.at_level(logging.INFO):
        for way in (watched, lambda work, voxels: work):
            used = replace(backend, repeated=way)
            monkeypatch.setattr(optreg.registration, "get_backends", lambda device: [used])  # noqa: B023
            results.append(optreg.register(fixed, moving, config=CONFIG, **options))
    played, done = results
    assert np.array_equal(played.disp, done.disp) and np.array_equal(played.inverse, done.inverse)
    assert played.history == done.history and len(done.history) >= 17
    assert np.abs(done.disp).mean() > 0.05
    assert "not recorded" not in caplog.text
    assert sum(r._play is not None for r in recorded) >= 3


def test_what_is_recorded_may_not_ask(cuda_host_backend):
    xp = cuda_host_backend.xp
    numbers = cuda_host_backend.asarray(np.arange(4.0))
    questions = [
        lambda: float(numbers.sum()),
        lambda: numbers[numbers > 1],
        lambda: cuda_host_backend.asnumpy(numbers),
        lambda: xp.asarray(3.0),
    ]
    for question in questions:
        with pytest.raises(RuntimeError, match="record"):
            device_arrays.record(question)


def test_a_recording_knows_arrays_alone(cuda_host_backend):
    xp = cuda_host_backend.xp
    numbers, found = cuda_host_backend.asarray(np.arange(4.0)), xp.zeros(4)
    factor = [2.0]

    def work():
        doubled = numbers * factor[0]
        doubled[1] = -1.0
        found[...] = xp.maximum(doubled, 0)

    play = device_arrays.record(work)
    assert not found.held.any()  # nothing is done meanwhile
    factor[0] = 1000.0
    for start in (0.0, 5.0):
        numbers.held[...] = start + np.arange(4)
        play()
        assert found.held.tolist() == [2 * start, 0, 2 * (start + 2), 2 * (start + 3)]


def counting():
    calls = []
    return calls, lambda: calls.append("done")


def test_work_is_done_recorded_and_played():
    calls, work = counting()

    def record(given):
        assert given is work
        calls.append("recorded")
        return lambda: calls.append("played")

    again = repeated(work, 1000, record)
    for _ in range(4):
        again()
    assert calls == ["done", "recorded", "played", "played", "played"]
    assert repeated(work, 10**7, record) is work  # it keeps a device busy as it is


def test_what_cannot_be_recorded_goes_on_as_it_is(caplog):
    calls, work = counting()

    def record(_):
        raise MemoryError("cudaErrorMemoryAllocation:\nout of memory")

    again = Repeated(work, record)
    with caplog.at_level(logging.INFO):
        for _ in range(4):
            again()
    assert calls == ["done"] * 4
    (notice,) = caplog.messages
    assert "cudaErrorMemoryAllocation: out of memory" in notice


def test_an_error_of_the_work_itself_is_raised():
    def work():
        raise ValueError("of the work")

    with pytest.raises(ValueError, match="of the work"):
        Repeated(work, lambda work: work)()


class Cuda:
    """`cupy.cuda` that says what is done with it."""

    def __init__(self):
        self.said, self.allocator = [], lambda size: SimpleNamespace(size=size)
        self.get_allocator = lambda: self.allocator

    def Stream(self, non_blocking):  # noqa: N802 - as CuPy has it
        assert non_blocking
        self.said.append("stream")
        return self

    __enter__ = lambda self: self.said.append("enter")  # noqa: E731
    __exit__ = lambda self, *error: self.said.append("leave")  # noqa: E731

    def begin_capture(self):
        self.said.append("begin")

    def end_capture(self):
        self.said.append("end")
        return SimpleNamespace(launch=lambda: self.said.append("launch"))

    @contextmanager
    def using_allocator(self, allocator):
        before, self.allocator = self.allocator, allocator
        yield
        self.allocator = before


def test_recording_with_cupy():
    cuda, taken = Cuda(), []
    recorder = Recorder(SimpleNamespace(cuda=cuda))
    assert cuda.said == []  # no stream before the device is used
    plain = cuda.allocator

    def work():
        cuda.said.append("work")
        taken.append(cuda.allocator(9))

    play = recorder(work)
    assert cuda.said == ["stream", "enter", "begin", "work", "end", "leave"]
    assert cuda.allocator is plain
    play()
    assert cuda.said[6:] == ["launch"]
    # What the work allocated lives as long as what plays it.
    assert any(taken[0] in held for held in play.__defaults__)
    recorder(work)
    assert cuda.said.count("stream") == 1


def test_a_recording_that_fails_is_ended():
    cuda = Cuda()

    def work():
        raise RuntimeError("is capturing")

    with pytest.raises(RuntimeError, match="is capturing"):
        Recorder(SimpleNamespace(cuda=cuda))(work)
    assert cuda.said == ["stream", "enter", "begin", "end", "leave"]


def test_the_cpu_does_the_work_itself():
    _, work = counting()
    assert get_backend("cpu").repeated(work, 10) is work
