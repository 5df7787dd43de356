"""Kernels are compiled by several processes, each by one of them, and found by all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from read_only import read_only

import optreg
import optreg.registration
from optreg.kernels import get_backend
from optreg.kernels.cpu import ahead

# Two small kernels alone, in processes that find nothing compiled.
FEW = """
from optreg.kernels.cpu import ahead
calls = ahead._calls()
for function in list(calls):
    if function.__name__ not in ("downsample", "root_mean_square"):
        del calls[function]
"""
LISTENER = """
from numba.core import event

class Compiled(event.Listener):
    names = []
    def on_start(self, event):
        pass
    def on_end(self, event):
        self.names.append(event.data["dispatcher"].py_func.__name__)

event.register("numba:compile", Compiled())
"""
SCRIPT = f"""
import os, sys, tempfile
{FEW}
{LISTENER}
import numba
kind, tempfile.tempdir = sys.argv[1:]
ahead._HELPER = {FEW!r} + ahead._HELPER
if kind == "helper":  # all is left to it
    ahead.take_part = lambda *claims: None
if kind == "no helper":
    sys.executable = "/nonexistent"
if kind == "frozen":
    sys.frozen = True
numba.set_num_threads(1 if kind == "one thread" else 2)
work = ahead.compile_ahead()
if work is None:
    print("nothing to do")
else:
    work()
    for function, arguments in calls.items():
        function(*arguments)
    print(*sorted(set(Compiled.names) & {{"_downsample", "_square_sums"}}))
print(os.listdir(tempfile.tempdir))
"""


@pytest.fixture
def compiling(child_environment, tmp_path):
    """Function that runs the script and gives what was compiled in its process."""
    (tmp_path / "scratch").mkdir()

    def run(kind, start=subprocess.run):
        environment = {**child_environment, "NUMBA_CACHE_DIR": str(tmp_path / "code")}
        command = [sys.executable, "-c", SCRIPT, kind, str(tmp_path / "scratch")]
        done = start(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        run.said = done.stderr
        compiled, scratch = done.stdout.splitlines()
        assert scratch == "[]"
        return compiled

    return run


def test_what_a_helper_compiles_is_there(compiling):
    assert compiling("helper") == ""
    assert "once" in compiling.said and "kept in" in compiling.said
    assert compiling("helper") == "nothing to do"


@pytest.mark.parametrize("kind", ["one thread", "frozen"])
def test_without_helpers_this_process_compiles_ahead(kind, compiling):
    """So that the time is known for what it is, and who waits knows why."""
    assert compiling(kind) == "_downsample _square_sums"
    assert compiling.said.count("compiling kernels for this processor") == 1
    assert compiling(kind) == "nothing to do" and compiling.said == ""


def test_where_nothing_can_be_kept_it_is_said(compiling, tmp_path):
    (tmp_path / "code").mkdir()
    with read_only(tmp_path / "code") as run:
        for _ in range(2):  # nothing was kept by the first
            assert compiling("two", run) == "_downsample _square_sums"
            assert "in each process" in compiling.said and "warm-up --cache" in compiling.said


@pytest.mark.slow
def test_package_that_cannot_be_written_is_used_as_it_is(child_environment, tmp_path):
    """Nothing is compiled anew, though no folder takes anything: not by two processes, either."""
    optreg.warm_up(device="cpu")
    code = f"""{LISTENER}
import numpy as np, optreg
head = np.random.default_rng(0).random((40, 48, 44), dtype=np.float32)
head[:6] = 0
result = optreg.register(head, head, device="cpu", threads=2, init=None)
print(len(Compiled.names), "compile" in result.timings)
"""
    environment = {**child_environment, "HOME": "/dev/null"}
    for variable in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
        environment.pop(variable, None)
    with read_only(Path(optreg.__file__).parent) as run:
        done = run([sys.executable, "-c", code], env=environment, cwd=tmp_path)
    assert done.stdout.split() == ["0", "False"] and done.stderr == "", done


def test_without_helpers_all_is_compiled_here(compiling):
    assert compiling("no helper") == "_downsample _square_sums"
    assert compiling("helper") == "nothing to do"


def test_where_no_folder_can_be_made_this_process_compiles_all(monkeypatch, caplog):
    """A read-only file system with nothing that takes temporary files: it is said all the same."""
    calls, compiled = {print: ()}, []

    def no_folder(**how):
        raise OSError(30, "Read-only file system")

    def compile_all(claims):
        compiled.append(claims)
        calls.clear()

    monkeypatch.setattr(ahead.tempfile, "TemporaryDirectory", no_folder)
    monkeypatch.setattr(ahead, "_calls", lambda: calls)
    monkeypatch.setattr(ahead, "_is_there", lambda function: False)
    monkeypatch.setattr(ahead, "take_part", compile_all)
    ahead._together(1)
    assert compiled == [None] and "compiling kernels for this processor" in caplog.text


def test_each_is_compiled_by_one_process(tmp_path, monkeypatch):
    called = []

    def first():
        called.append("first")

    def second():
        called.append("second")

    def third():
        called.append("third")

    monkeypatch.setattr(ahead, "_calls", lambda: dict.fromkeys((first, second, third), ()))
    (tmp_path / "second").touch()
    ahead.take_part(str(tmp_path))
    ahead.take_part(str(tmp_path))
    assert called == ["first", "third"]
    assert sorted(os.listdir(tmp_path)) == ["first", "second", "third"]


def test_helper_ends_with_whom_it_helps(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(ahead, "_calls", lambda: dict.fromkeys((called.clear, called.copy), ()))
    ahead.take_part(str(tmp_path), lambda: not os.listdir(tmp_path))
    assert os.listdir(tmp_path) == ["clear"]


def test_threads_may_look_at_once(monkeypatch):
    class Calls(dict):
        def __iter__(self):
            for key in dict.__iter__(self):
                time.sleep(1e-4)  # another thread comes in between
                yield key

    calls = Calls.fromkeys(range(50), ())
    monkeypatch.setattr(ahead, "_calls", lambda: calls)
    monkeypatch.setattr(ahead, "_is_there", lambda number: number % 2 == 0)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: ahead._missing(), range(8)))
    assert found == [True] * 8
    assert list(calls) == list(range(1, 50, 2))


def test_one_thread_compiles_for_all(monkeypatch):
    calls, compiled = {print: ()}, []

    def compile_all(claims):
        time.sleep(0.05)
        compiled.append(claims)
        calls.clear()

    monkeypatch.setattr(ahead, "_calls", lambda: calls)
    monkeypatch.setattr(ahead, "_is_there", lambda function: False)
    monkeypatch.setattr(ahead, "take_part", compile_all)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: ahead._together(0), range(4)))
    assert len(compiled) == 1


@pytest.mark.parametrize("compiles", [True, False])
def test_a_registration_tells_of_it(blobs, monkeypatch, compiles):
    told, work = [], []
    backend = replace(
        get_backend("cpu"),
        compile_ahead=lambda: (lambda: work.append(len(told))) if compiles else None,
    )
    monkeypatch.setattr(optreg.registration, "get_backends", lambda device: [backend])
    image = np.ascontiguousarray(blobs.data[::2, ::2, ::2])
    result = optreg.register(
        image, image, preset="fast", progress=lambda stage, part: told.append((stage, part))
    )
    assert (told[0] == ("compile (once)", 0.0)) == compiles
    assert work == ([1] if compiles else [])  # after it was told
    assert ("compile" in result.timings) == compiles
    assert result.timings["total"] >= sum(result.timings.values()) - result.timings["total"]
