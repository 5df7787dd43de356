"""How threads wait is chosen before numba loads OpenMP, unless somebody else chose."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "0"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, "None"),
    ],
)
def test_waiting_threads_sleep_unless_told_otherwise(child_environment, given, expected):
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {k: v for k, v in child_environment.items() if k not in names}
    code = (
        "import os; from optreg.kernels import cpu; from numba.np.ufunc import parallel\n"
        "assert not parallel._is_initialized\n"
        "print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment | given
    )
    assert (done.returncode, done.stdout.strip()) == (0, expected), done.stderr
