"""Fixtures of the metric tests: what the challenge's evaluator gives on analytic fields."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

DATA = Path(os.environ.get("OPTREG_DATA") or Path(__file__).parents[3] / "shared" / "data")
SHAPE = (160, 224, 192)


class ReferenceData:
    """Label maps, images and landmarks of the example data, and the evaluator's results."""

    def __init__(self, root):
        self.root = root
        content = json.loads((root / "reference_metrics.json").read_text())
        self.pairs, self.fields = content["pairs"], content["fields"]
        self.labels = content["labels"]

    def field(self, name):
        """Analytic field, computed in float64 and rounded to float32."""
        (a, b, c), (p, q, r) = (self.fields[name][k] for k in ("amplitude_vox", "cycles"))
        phases = [2 * np.pi * f * np.arange(n) / n for f, n in zip((p, q, r), SHAPE, strict=True)]
        x, y, z = np.meshgrid(*phases, indexing="ij", sparse=True)
        field = np.empty((3, *SHAPE), np.float32)
        field[0] = a * np.sin(x + 0.3) * np.cos(y) * np.cos(z + 0.1)
        field[1] = b * np.cos(x) * np.sin(y + 0.5) * np.cos(z)
        field[2] = c * np.cos(x + 0.2) * np.cos(y) * np.sin(z + 0.7)
        return field

    def volume(self, folder, number):
        import nibabel

        path = self.root / folder / f"OASIS_{number}_0000.nii.gz"
        return np.asarray(nibabel.load(path).dataobj)

    def points(self, number):
        path = self.root / "landmarksVal" / f"OASIS_{number}_0000.csv"
        return np.loadtxt(path, delimiter=",", skiprows=1, usecols=(2, 3, 4))


@pytest.fixture(scope="session")
def reference_data():
    if not (DATA / "reference_metrics.json").exists():
        pytest.skip("example data not present (set OPTREG_DATA)")
    return ReferenceData(DATA)


@pytest.fixture(scope="session")
def label_pair(reference_data):
    """Fixed and moving labels of the pair with reference results."""
    return tuple(reference_data.volume("labelsVal", number) for number in ("1001", "1000"))
