"""Compiled kernels where the folder that keeps them takes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from read_only import read_only

import optreg

# In a file, since numba keeps nothing of code that has none.
SCRIPT = """
import logging
import sys

logging.basicConfig(format="%(name)s %(levelname)s %(message)s")
import numpy as np
from numba import prange
from optreg.kernels.cpu._jit import CACHED, jit, parallel_jit

KIND = sys.argv[1]

@jit
def twice(x):
    return 2 * x

@parallel_jit
def thrice(x):
    out = np.zeros(len(x))
    for i in prange(len(x)):
        out[i] = 3 * x[i]
    return out.sum()

if KIND == "limit":
    # What a full disk or quota does to a write: an OSError.
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, resource.RLIM_INFINITY))
elif KIND == "stub":
    import numba.core.caching
    def full(*args):
        raise OSError(28, "No space left on device")
    numba.core.caching.IndexDataCacheFile.save = full
print(CACHED, twice(2), thrice(np.ones(2)), twice(2.5))
"""


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("limit", "File too large"), ("stub", "No space left on device"), ("none", "")],
)
def test_kernels_work_at_the_first_call_on_a_full_disk(kind, reason, tmp_path, child_environment):
    (tmp_path / "kernels.py").write_text(SCRIPT)
    (tmp_path / "cache").mkdir()
    done = subprocess.run(
        [sys.executable, str(tmp_path / "kernels.py"), kind],
        capture_output=True,
        text=True,
        env={**child_environment, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
    )
    assert done.stdout.split() == ["True", "4", "6.0", "5.0"], done.stderr
    kept = [name for _, _, names in os.walk(tmp_path / "cache") for name in names]
    if kind == "none":
        assert done.stderr == "" and any(name.endswith(".nbc") for name in kept)
        return
    assert kept == []
    # Once, though three kernels were compiled.
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("optreg WARNING ") and reason in done.stderr


COUNTED = """
import numba.core.event as event

class Count(event.Listener):
    compiled = []
    def on_start(self, event):
        pass
    def on_end(self, event):
        self.compiled.append(event.data["dispatcher"].py_func.__name__)

event.register("numba:compile", Count())
"""


@pytest.mark.parametrize("place", ["set", "beside the code"])
def test_compiled_code_is_read_where_it_cannot_be_written(place, tmp_path, child_environment):
    (tmp_path / "code").mkdir()
    script = tmp_path / "code" / "kernels.py"
    script.write_text(
        COUNTED + SCRIPT + "print(*(n for n in Count.compiled if n in ('twice', 'thrice')))\n"
    )
    # New ones go to the user's folder where the package cannot be written: it has none.
    environment = {**child_environment, "XDG_CACHE_HOME": str(tmp_path / "home")}
    kept = script.parent / "__pycache__"
    environment.pop("NUMBA_CACHE_DIR", None)
    if place == "set":
        kept = tmp_path / "cache"
        kept.mkdir()
        environment["NUMBA_CACHE_DIR"] = str(kept)
    command = [sys.executable, str(script), "none"]
    first = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert first.stdout.endswith("twice thrice twice\n") and any(kept.rglob("*.nbc")), first.stderr
    before = sorted(kept.rglob("*"))
    package = Path(optreg.__file__).parent
    with read_only(kept, package) as run:
        again = run(command, env=environment)
    assert again.stdout.split() == [str(place != "set"), "4", "6.0", "5.0"], again
    assert again.stderr == "" and sorted(kept.rglob("*")) == before


def test_code_for_another_source_is_not_taken(tmp_path, child_environment):
    (tmp_path / "cache").mkdir()
    script = tmp_path / "kernels.py"
    script.write_text(
        COUNTED + SCRIPT + "print(*(n for n in Count.compiled if n in ('twice', 'thrice')))\n"
    )
    environment = {**child_environment, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, str(script), "none"]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    script.write_text(script.read_text().replace("return 2 * x", "return 5 * x"))
    with read_only(tmp_path / "cache") as run:
        again = run(command, env=environment)
    assert again.stdout.splitlines() == ["False 10 6.0 12.5", "twice thrice twice"]
