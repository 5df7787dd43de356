"""After warming up nothing is left to compile."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import pytest

import optreg
import optreg.kernels.cpu


def compiled() -> dict[str, int]:
    """Number of compiled signatures of every kernel."""
    counts = {}
    package = optreg.kernels.cpu
    for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(info.name)
        for name, value in vars(sys.modules[info.name]).items():
            if hasattr(value, "signatures"):
                counts[f"{info.name}.{name}"] = len(value.signatures)
    return counts


@pytest.mark.parametrize("preset", ["fast", "default"])
def test_registration_compiles_nothing_new(preset, blobs):
    optreg.warm_up(optreg.RegistrationConfig.preset(preset), threads=2)
    before = compiled()
    assert before["optreg.kernels.cpu.lncc._lncc"] > 0
    moved = optreg.Image(blobs.data[::-1].copy(), blobs.grid)
    optreg.register(blobs, moved, preset=preset, threads=2)
    assert compiled() == before
