"""The benchmark: times that add up, and a floor from memory traffic."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

import benchmark
from optreg.continuous.solve import bytes_per_iteration
from optreg.kernels import get_backend


def test_report(dataset_folder, tmp_path):
    out = tmp_path / "out"
    command = ["--data", str(dataset_folder), "--preset", "default", "--threads", "1"]
    assert benchmark.main([*command, "--repeats", "1", "--output", str(out)]) == 0
    numbers = json.loads((out / "benchmark.json").read_text())
    stages, levels = numbers["stages_s"], numbers["levels"]
    parts = sum(value for name, value in stages.items() if name != "total")
    iterating = sum(level["seconds"] for level in levels)
    # Parts of a whole; the lower limit leaves room for a machine that is busy elsewhere.
    assert 0.5 * stages["total"] < parts <= stages["total"]
    # These are from different runs, between which the load of a machine changes.
    assert 0.2 * stages["refine"] < iterating < 5 * stages["refine"]
    for level in levels:
        assert level["voxels"] * level["factor"] ** 3 == numbers["cropped_voxels"]
        # Intensities and a tissue map; at half resolution also the difference of both maps, at
        # full resolution that alone, and one field.
        counted = {4: (2, 2, 2), 2: (3, 4, 2), 1: (3, 3, 1)}[level["factor"]]
        least = bytes_per_iteration(level["voxels"], *counted)
        assert level["megabytes"] == pytest.approx(least / 1e6)
        floor = level["megabytes"] / numbers["copy_bandwidth_gb_s"]
        assert level["floor_ms"] == pytest.approx(floor)
    assert [level["factor"] for level in levels] == sorted(
        (level["factor"] for level in levels), reverse=True
    )
    text = (out / "benchmark.md").read_text()
    assert all(f"| {name}" in text for name in stages)


def test_resampling_keeps_the_place_in_the_world(blobs):
    fine = benchmark.resampled(blobs, 0.8)
    assert fine.shape == (50, 60, 55)
    assert fine.grid.spacing == pytest.approx(0.8)
    assert fine.data.sum() * 0.8**3 == pytest.approx(blobs.data.sum(), rel=0.01)
    before, after = (
        image.grid.voxel_to_world(np.array([ndimage.center_of_mass(image.data)]))
        for image in (blobs, fine)
    )
    assert after == pytest.approx(before, abs=0.1)


def test_device_copies_are_timed():
    moved = benchmark.copy_bandwidth(replace(get_backend("cpu"), name="other"), 1, repeats=1)
    assert 1e8 < moved < 1e13


def test_a_missing_device_is_named(dataset_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    command = ["--data", str(dataset_folder), "--device", "cuda:7", "--output", str(tmp_path / "o")]
    with pytest.raises(SystemExit) as ended:
        benchmark.main(command)
    assert ended.value.code == 4 and "cuda:7" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
