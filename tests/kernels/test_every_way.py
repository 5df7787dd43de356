"""Whatever is asked of a registration works on arrays that only the device's own functions take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cuda_host import backend_named
from device_arrays import DeviceArray

import optreg
import optreg.registration
from optreg.continuous.level import Level
from optreg.grid import Grid
from optreg.image import Image

FAST = optreg.RegistrationConfig.preset("fast")
SEARCHING = replace(FAST, discrete=replace(FAST.discrete, enabled="on", radius=2))


def half(head):
    """Weights: less on one side of the volume."""
    weights = np.ones(head.shape, np.float32)
    weights[: head.shape[0] // 2] = 0.5
    return weights


def mask(head):
    """Nothing counts at one end of the volume."""
    return (np.arange(head.shape[2]) < 0.8 * head.shape[2]) & np.ones(head.shape, bool)


def other_contrast(head):
    """Every tissue has another intensity."""
    return np.where(head > 0, 4.0 - head, 0).astype(np.float32)


def elsewhere(head, spacing=(1.2, 0.9, 1.1), shift_mm=0.0, code=(0, 1, 2)):
    """On a grid of its own, with axes in another order: about the same object in the world."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = shift_mm - (np.array(spacing) - 1) * np.array(head.shape) / 2
    image = Image(head, Grid(head.shape, affine))
    grid = Grid(tuple(head.shape[c] for c in code), affine[:, [*code, 3]])
    return Image(np.ascontiguousarray(image.data.transpose(code)), grid)


def thick(head):
    """Slices of 4 mm."""
    return Image(head[:, :, 2::4].copy(), Grid((*head.shape[:2], 11), np.diag([1.0, 1, 4, 1])))


WAYS = {
    "default": lambda f, m: (f, m, {}),
    "two contrasts": lambda f, m: (f, other_contrast(m), {}),
    "MIND": lambda f, m: (f, m, {"similarity": "mind"}),
    "channels": lambda f, m: ([f, f], [m, other_contrast(m)], {}),
    "whole numbers": lambda f, m: ((60 * f).clip(0).astype(np.uint8), (60 * m).astype(">i2"), {}),
    "order of Fortran": lambda f, m: (np.asfortranarray(f), m.astype(np.float64), {}),
    "masks": lambda f, m: (f, m, {"fixed_mask": mask(f), "moving_mask": mask(m)}),
    "weights": lambda f, m: (f, m, {"weights": half(f)}),
    "cut": lambda f, m: (f, np.ascontiguousarray(m[:, :, :36]), {}),
    "search": lambda f, m: (f, m, {"config": SEARCHING}),
    "start": lambda f, m: (f, m, {"init": np.full((3, *f.shape), 0.5, np.float32)}),
    "refinement": lambda f, m: (f, m, {"init": np.zeros((3, *f.shape)), "refine": True}),
    "alignment": lambda f, m: (f, m, {"init": "affine"}),
    "apart": lambda f, m: (f, elsewhere(m, (1, 1, 1), 12.0), {}),
    "grids": lambda f, m: (f, elsewhere(m), {}),
    "storage": lambda f, m: (elsewhere(f, (1, 1, 1), code=(2, 0, 1)), m, {}),
    "axes": lambda f, m: (f, m, {"axes": "ik"}),
    "slices": lambda f, m: (f[:, :, 22].copy(), m[:, :, 22].copy(), {}),
    "thick slices": lambda f, m: (thick(f), elsewhere(m, (1, 1, 1)), {}),
}


@pytest.fixture(params=["cuda-host", pytest.param("cuda", marks=pytest.mark.gpu)])
def backend(request):
    return backend_named(request.param)


@pytest.mark.parametrize("way", WAYS)
def test_same_as_on_the_cpu(way, backend, pair, monkeypatch):
    fixed, moving, options = WAYS[way](*pair[:2])
    options = {"config": FAST, **options}
    expected = optreg.register(fixed, moving, device="cpu", **options)
    monkeypatch.setattr(optreg.registration, "get_backends", lambda device: [backend])
    found = optreg.register(fixed, moving, **options)
    assert found.device == backend.name and found.similarity == expected.similarity
    assert np.abs(found.disp - expected.disp).mean() < 0.02
    assert np.abs(expected.disp).mean() > 0.05
    assert found.quality["folded_voxels"] == found.quality["inverse_folded_voxels"] == 0
    for name, value in found.quality.items():
        assert isinstance(value, float), name


def test_no_iteration_waits_for_the_device(cuda_host_backend, pair, monkeypatch):
    waits = []
    iterate = Level._iterate

    def watched(self, structured):
        before = DeviceArray.waits
        iterate(self, structured)
        waits.append(DeviceArray.waits - before)

    monkeypatch.setattr(Level, "_iterate", watched)
    backend = replace(cuda_host_backend, repeated=lambda work, voxels: work)
    monkeypatch.setattr(optreg.registration, "get_backends", lambda device: [backend])
    before = DeviceArray.waits
    optreg.register(*pair[:2], weights=half(pair[0]))
    assert len(waits) == sum(optreg.RegistrationConfig().continuous.iterations)
    assert not any(waits)
    assert DeviceArray.waits > before  # it does count
