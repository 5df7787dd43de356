"""Compiled kernels where the folder that keeps them takes nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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
