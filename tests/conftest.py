"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from scipy import ndimage

from optreg.grid import Grid
from optreg.image import Image

# Helpers of several folders; at the end, so that no folder here hides a module.
sys.path.append(str(Path(__file__).parent))
from synthetic_heads import one_head, pair_and_truth

# Before anything imports matplotlib: no window, whatever the desktop says.
os.environ["MPLBACKEND"] = "Agg"

# Machines that run tests are shared and slow at times; a deadline would make failures random.
settings.register_profile("optreg", deadline=None, derandomize=True)
settings.load_profile("optreg")


@pytest.fixture(scope="session", autouse=True)
def kernels_are_compiled() -> None:
    """So that the notice of it comes into no test's output."""
    from optreg.kernels import get_backend

    if (compile_kernels := get_backend("cpu").compile_ahead()) is not None:
        compile_kernels()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real scans in LUMIR layout; tests that ask for it are skipped without it."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("OPTREG_DATA", default))
    if not (folder / "dataset.json").is_file():
        pytest.skip("no real data: set OPTREG_DATA to a folder with dataset.json")
    return folder


@pytest.fixture(scope="session")
def child_environment() -> dict[str, str]:
    """Environment of a process that finds the package where this one did, installed or not."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture(scope="session")
def head() -> np.ndarray:
    """A small head of three tissues."""
    return one_head()


@pytest.fixture(scope="session")
def pair(head: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fixed and moving head, and the displacement (3, X, Y, Z) from one to the other."""
    return pair_and_truth(head)


@pytest.fixture
def rng() -> np.random.Generator:
    """The same random numbers in every run."""
    return np.random.default_rng(20)


@pytest.fixture
def oblique_grid() -> Grid:
    """A grid with everything that goes wrong in practice: unequal spacing, a rotation about no
    axis, permuted and flipped axes, an origin far from zero.
    """
    return Grid((18, 23, 20), oblique_affine([1.1, 0.8, 2.5], [15.0, -40.0, 22.0]))


def oblique_affine(spacing: list[float], origin: list[float]) -> np.ndarray:
    """RAS affine with det < 0: rotated by 0.3 rad about (1, 2, 3), two array axes swapped."""
    axis = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation = np.eye(3) + np.sin(0.3) * cross + (1 - np.cos(0.3)) * cross @ cross
    affine = np.eye(4)
    affine[:3, :3] = rotation[:, [1, 0, 2]] * np.array(spacing)
    affine[:3, 3] = origin
    return affine


@pytest.fixture(scope="session")
def blobs() -> Image:
    """A head-like phantom of (40, 48, 44) voxels: smooth blobs in an ellipsoid, 0 outside."""
    rng = np.random.default_rng(7)
    shape = (40, 48, 44)
    texture = sum(
        ndimage.gaussian_filter(rng.standard_normal(shape), sigma) * sigma**1.5
        for sigma in (2.0, 4.0, 7.0)
    )
    position = np.indices(shape) - (np.array(shape) - 1).reshape(3, 1, 1, 1) / 2
    radius = np.sqrt(((position / np.array([16.0, 20, 18]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0))
    head = np.clip((1 - radius) * 6, 0, 1) * (texture - texture.min() + 0.5 * texture.std())
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = [-20, -24, -22]
    return Image((head / head.max()).astype(np.float32), Grid(shape, affine), "blobs")


@pytest.fixture(scope="session")
def tissues() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Maker of three tissues in smooth regions: labels 1 to 3 (0 is background), and an image."""

    def make(centres=(0.25, 0.5, 0.85), noise=0.02, shape=(24, 26, 22), seed=1):
        regions = np.random.default_rng(0).standard_normal(shape)
        regions = ndimage.gaussian_filter(regions, 2)
        label = 1 + np.digitize(regions, np.quantile(regions, [0.3, 0.65]))
        label[:2] = 0
        drawn = np.take([0.0, *centres], label)
        drawn += noise * np.random.default_rng(seed).standard_normal(shape)
        return label, (np.clip(drawn, 0.01, 1) * (label > 0)).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def smooth_disp() -> np.ndarray:
    """A smooth, invertible displacement of up to 3 voxels on the grid of `blobs`."""
    rng = np.random.default_rng(3)
    disp = ndimage.gaussian_filter(rng.standard_normal((3, 40, 48, 44)), (0, 6, 6, 6))
    return (disp * (3 / np.abs(disp).max())).astype(np.float32)
