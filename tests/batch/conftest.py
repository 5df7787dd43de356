"""A dataset of small pairs, and the output of an undisturbed run over it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from optreg import cli
from optreg.config import RegistrationConfig
from optreg.io import save_image
from optreg.transform import DisplacementField


@pytest.fixture(scope="session")
def images(blobs, smooth_disp, tmp_path_factory):
    """Dataset of four pairs with one moving image."""
    folder = tmp_path_factory.mktemp("images")
    save_image(folder / "X_0001_0000.nii.gz", blobs.data, blobs.grid)
    for i in range(2, 6):
        field = DisplacementField((0.2 * i * smooth_disp).astype(np.float32), blobs.grid)
        save_image(folder / f"X_000{i}_0000.nii.gz", field.apply(blobs).data, blobs.grid)
    pairs = [
        {"fixed": f"X_000{i}_0000.nii.gz", "moving": "X_0001_0000.nii.gz"} for i in range(2, 6)
    ]
    (folder / "d.json").write_text(json.dumps({"name": "four", "validation": pairs}))
    settings = {"preset": "fast", "continuous": {"iterations": [8, 4, 1]}}
    config = RegistrationConfig.from_dict(settings)
    (folder / "fast.toml").write_text(config.to_toml())
    return folder


@pytest.fixture(scope="session")
def undisturbed(images, tmp_path_factory):
    """Output folder of a whole run, one pair after the other."""
    output = tmp_path_factory.mktemp("out") / "a"
    argv = ["submit", "--dataset", images / "d.json", "--config", images / "fast.toml"]
    argv += ["--output", output, "--device", "cpu", "--quiet"]
    assert cli.main([str(a) for a in argv]) == 0
    return output
