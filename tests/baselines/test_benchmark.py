"""The benchmark: times that add up, and a floor from memory traffic."""

import json

import pytest

import benchmark
from optreg.continuous.solve import bytes_per_iteration


def test_report(dataset_folder, tmp_path):
    out = tmp_path / "out"
    command = ["--data", str(dataset_folder), "--preset", "default", "--threads", "1"]
    assert benchmark.main([*command, "--repeats", "1", "--output", str(out)]) == 0
    numbers = json.loads((out / "benchmark.json").read_text())
    stages, levels = numbers["stages_s"], numbers["levels"]
    parts = sum(value for name, value in stages.items() if name != "total")
    iterating = sum(level["seconds"] for level in levels)
    # Parts of a whole; the lower limits leave room for a machine that is busy elsewhere.
    assert 0.5 * stages["total"] < parts <= stages["total"]
    assert 0.5 * stages["refine"] < iterating <= 1.01 * stages["refine"]
    for level in levels:
        assert level["voxels"] * level["factor"] ** 3 == numbers["cropped_voxels"]
        finest = level["factor"] == 1
        # Intensities and one tissue map, on the last level both maps but one field.
        least = bytes_per_iteration(level["voxels"], *((3, 1) if finest else (2, 2)))
        assert level["megabytes"] == pytest.approx(least / 1e6)
        floor = level["megabytes"] / numbers["copy_bandwidth_gb_s"]
        assert level["floor_ms"] == pytest.approx(floor)
    assert [level["factor"] for level in levels] == sorted(
        (level["factor"] for level in levels), reverse=True
    )
    text = (out / "benchmark.md").read_text()
    assert all(f"| {name}" in text for name in stages)
