"""After warming up, or compiling ahead, nothing is left to compile."""

from __future__ import annotations

import subprocess
import sys

import pytest

# In a process of its own: in this one, other tests have compiled everything already.
SCRIPT = """
import importlib, pkgutil, sys, tempfile
import numpy as np
from numba.core.dispatcher import Dispatcher
import optreg
from optreg.kernels import cpu
from optreg.kernels.cpu.ahead import take_part

def compiled():
    counts = {}
    for info in pkgutil.iter_modules(cpu.__path__, cpu.__name__ + "."):
        for name, value in vars(importlib.import_module(info.name)).items():
            if isinstance(value, Dispatcher):
                counts[f"{info.name}.{name}"] = len(value.signatures)
    return counts

preset, warm = sys.argv[1:]
if warm == "warm":
    optreg.warm_up(optreg.RegistrationConfig.preset(preset), threads=2)
if warm == "ahead":
    with tempfile.TemporaryDirectory() as claims:
        take_part(claims)
before = compiled()
head = np.random.default_rng(0).random((40, 48, 44), dtype=np.float32)
head[:6] = 0
optreg.register(head, head[:, ::-1], preset=preset, threads=2, init=None)
optreg.register(head, head, preset=preset, threads=2)
after = compiled()
print(before["optreg.kernels.cpu.lncc._lncc"], sum(after.values()) - sum(before.values()))
"""


@pytest.fixture
def compiled_late(child_environment):
    """Function that gives the kernels ready after warming up, or not, and those compiled later."""

    def run(preset, warm):
        command = [sys.executable, "-c", SCRIPT, preset, warm]
        done = subprocess.run(command, capture_output=True, text=True, env=child_environment)
        assert done.returncode == 0, done.stderr
        ready, late = map(int, done.stdout.split())
        return ready, late

    return run


@pytest.mark.parametrize("how", ["warm", "ahead"])
@pytest.mark.parametrize("preset", ["fast", "default"])
def test_registration_compiles_nothing_new(compiled_late, preset, how):
    ready, late = compiled_late(preset, how)
    assert ready > 0 and late == 0


def test_without_warming_up_there_is_something_to_compile(compiled_late):
    ready, late = compiled_late("fast", "cold")
    assert ready == 0 and late > 5
