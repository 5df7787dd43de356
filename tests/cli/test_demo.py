"""``optreg demo``: it comes near the truth, and says so."""

import json
import os
import sys

import numpy as np
import pytest

from optreg import warmup
from optreg.io import load_image, read_field


def test_demo_finds_the_truth(tmp_path, succeeds):
    pytest.importorskip("nilearn")
    output = tmp_path / "demo"
    text = succeeds("demo", output=output, voxel_mm=4, threads=1).out
    assert "distance to the truth" in text and "white matter" in text and "report.html" in text
    names = "fixed moving fixed_labels moving_labels truth disp inverse warped warped_labels"
    expected = {f"{name}.nii.gz" for name in names.split()} | {"report.html", "overview.png"}
    assert expected <= set(os.listdir(output))
    error = json.loads((output / "metrics.json").read_text())["true_error"]
    truth = read_field(output / "truth.nii.gz").disp * 4
    brain = load_image(output / "fixed_labels.nii.gz").data > 0
    start = np.linalg.norm(truth[:, brain], axis=0).mean()
    assert error["mean_mm"] < 0.75 * start


def test_a_missing_template_is_said_before_the_compilation(tmp_path, fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn", None)
    monkeypatch.setattr(warmup, "warm_up", lambda **_: pytest.fail("too late"))
    error = fails(2, "demo", output=tmp_path / "demo", voxel_mm=4, threads=1)
    assert "pip install 'optreg[demo]'" in error
    assert os.listdir(tmp_path) == []
