"""Reading of a file through the package, and what a result must be like to pass for one."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import numpy as np
from fuzz_files import FIXED, MOVING, Sample

from optreg.config import RegistrationConfig
from optreg.errors import OptregError
from optreg.grid import Grid
from optreg.image import Image
from optreg.io import load_image, read_landmarks, read_transform
from optreg.io.datasets import read_dataset
from optreg.submission import check_submission
from optreg.transform import Affine

__all__ = ["WrongError", "read"]


class WrongError(Exception):
    """A result or an error that no reader may give."""


def read(sample: Sample, path: Path) -> bool:
    """Read a file; whether it was accepted.

    Raises
    ------
    WrongError
        A result that is none, or an error that does not say what it should.
    """
    try:
        READERS[sample.kind](path, sample)
    except OptregError as error:
        text = str(error)
        if len(text) > 1000 or any(unicodedata.category(c)[0] == "C" for c in text):
            raise WrongError(f"an error that is not one readable line: {text[:1500]!r}") from error
        if path.name not in text:
            raise WrongError(f"an error that does not name the file: {text}") from error
        return False
    return True


def _demand(condition: object, what: str) -> None:
    if not condition:
        raise WrongError(what)


def _sound_grid(grid: Grid) -> None:
    _demand(np.isfinite(grid.affine).all(), "affine is not finite")
    _demand(np.isfinite(np.linalg.inv(grid.affine)).all(), "affine has no inverse")


def _check_image(image: Image) -> None:
    _sound_grid(image.grid)
    _demand(image.data.shape == image.grid.shape, "shape is not that of the grid")
    _demand(image.data.dtype.kind in "iuf", f"voxels are {image.data.dtype}")
    _demand(np.isfinite(image.data).all(), "voxels are not finite")


def _image(path: Path, sample: Sample) -> None:
    _check_image(load_image(path))


def _series(path: Path, sample: Sample) -> None:
    _check_image(load_image(path, volume=1, nan_to=0))


def _transform(path: Path, sample: Sample) -> None:
    found = read_transform(path, FIXED, MOVING, format=sample.format)
    if isinstance(found, Affine):
        _demand(np.isfinite(found.matrix).all(), "matrix is not finite")
        return
    _sound_grid(found.fixed_grid)
    _demand(found.disp.shape == (3, *found.fixed_grid.shape), "shape is not that of the grid")
    _demand(np.isfinite(found.disp).all(), "displacements are not finite")


def _landmarks(path: Path, sample: Sample) -> None:
    names, vox, mm = read_landmarks(path, FIXED)
    _demand(len(names) == len(vox) == len(mm) > 0, "numbers of names and points differ")
    _demand(np.isfinite(vox).all() and np.isfinite(mm).all(), "points are not finite")
    inside = (vox >= -0.5) & (vox <= np.array(FIXED.shape) - 0.5)
    _demand(inside.all(), "points are outside of the image")


def _dataset(path: Path, sample: Sample) -> None:
    dataset = read_dataset(path)
    _demand(dataset.pairs, "no pairs")
    root = path.parent.resolve()
    for pair in dataset.pairs:
        _demand(re.fullmatch(r"[^/\\\s]+", pair.name), f"field name {pair.name!r}")
        for image in (pair.fixed, pair.moving):
            _demand(image.resolve().is_relative_to(root), f"{image} is outside of the folder")
            _demand(image.is_file(), f"{image} is no file")


def _config(path: Path, sample: Sample) -> None:
    config = RegistrationConfig.from_toml(path)
    again = path.with_suffix(".again.toml")
    again.write_text(config.to_toml())
    _demand(RegistrationConfig.from_toml(again) == config, "does not survive being written")


def _submission(path: Path, sample: Sample) -> None:
    findings = check_submission(path, read_dataset(path.with_name("sound.json")))
    _demand(all(isinstance(f, str) for f in findings), "findings are no sentences")


READERS = {
    "image": _image,
    "series": _series,
    "transform": _transform,
    "landmarks": _landmarks,
    "dataset": _dataset,
    "config": _config,
    "submission": _submission,
}
