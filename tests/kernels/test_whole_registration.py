"""A whole registration on the kernels of every backend agrees with that on the CPU."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

import optreg
import optreg.registration
from optreg import continuous
from optreg.kernels import cpu
from optreg.metrics import evaluate

SHAPE = (48, 56, 44)


@pytest.fixture(scope="module")
def pair(tissues):
    """Fixed and moving image with their tissue labels; the fixed one is a deformed moving one."""
    labels, moving = tissues(noise=0.01, shape=SHAPE)
    noise = np.random.default_rng(5).standard_normal((3, *SHAPE))
    truth = ndimage.gaussian_filter(noise, (0, 6, 6, 6))
    truth = (2.5 * truth / np.abs(truth).max()).astype(np.float32)
    fixed = cpu.warp(moving.astype(np.float32), truth)
    return fixed, moving, cpu.warp_nearest(labels, truth), labels


def registered(pair, backend, monkeypatch, **options):
    monkeypatch.setattr(optreg.registration, "get_backends", lambda device: [backend])
    return optreg.register(*pair[:2], **options)


def dice(pair, result):
    return evaluate(result.disp, fixed_labels=pair[2], moving_labels=pair[3])["dice"]["mean"]


@pytest.mark.parametrize("similarity", ["lncc", "mind"])
def test_same_result_as_on_the_cpu(kernels, pair, similarity, monkeypatch):
    expected = optreg.register(*pair[:2], device="cpu", similarity=similarity)
    found = registered(pair, kernels.backend, monkeypatch, similarity=similarity)
    assert np.abs(expected.disp).mean() > 0.2
    for ours, theirs in ((found.disp, expected.disp), (found.inverse, expected.inverse)):
        assert isinstance(ours, np.ndarray) and ours.dtype == np.float32
        assert np.abs(ours - theirs).mean() < 0.01
    assert dice(pair, found) == pytest.approx(dice(pair, expected), abs=1e-3)
    assert found.quality["ndv_percent"] == found.quality["inverse_folded_voxels"] == 0
    for key in ("sdlogj", "inverse_consistency_mean_vox", "similarity_after"):
        assert found.quality[key] == pytest.approx(expected.quality[key], rel=0.05, abs=1e-3)
    assert len(found.history) == len(expected.history)
    again = registered(pair, kernels.backend, monkeypatch, similarity=similarity)
    assert np.array_equal(again.disp, found.disp)
    assert np.array_equal(again.inverse, found.inverse)


@pytest.mark.parametrize(("similarity", "channels"), [("lncc", 3), ("mind", 12)])
@pytest.mark.parametrize("stride", [1, 2])
def test_memory_is_what_was_asked_for(cuda_host_backend, similarity, channels, stride):
    """On the CUDA kernels as C++: NumPy tells Python how much it takes."""
    asked = []
    volumes = np.random.default_rng(0).random((2, channels, 64, 72, 60), dtype=np.float32)
    config = optreg.RegistrationConfig.preset("default").continuous
    config = replace(config, iterations=(1, 1, 1), window_stride=(stride,) * 3)
    config = replace(config, structure_iterations=(0, 1, 0))
    terms = continuous.plan([similarity], [channels], config)
    backend = replace(cuda_host_backend, require=asked.append)
    fixed, moving = map(backend.asarray, volumes)
    tracemalloc.start()
    continuous.refine(fixed, moving, terms, config, backend)
    peak = tracemalloc.get_traced_memory()[1] + volumes.nbytes
    tracemalloc.stop()
    assert 0.6 * asked[0] < peak < asked[0]


def test_search_start_and_mask(kernels, pair, monkeypatch):
    config = optreg.RegistrationConfig.preset("fast")
    config = replace(config, discrete=replace(config.discrete, enabled="on", radius=2))
    mask = np.ones(SHAPE, np.uint8)
    mask[:10] = 0
    start = np.full((3, *SHAPE), 0.5, np.float32)
    options = {"config": config, "fixed_mask": mask, "init": start}
    expected = optreg.register(*pair[:2], device="cpu", **options)
    found = registered(pair, kernels.backend, monkeypatch, **options)
    assert np.abs(found.disp - expected.disp).mean() < 0.02
    assert found.quality["folded_voxels"] == found.quality["inverse_folded_voxels"] == 0
