"""One pair stored in other orientations: the result is the same in the world.

Storing either image in another way changes nothing: images are brought into one order of axes.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

import optreg
from optreg.grid import Grid
from optreg.image import Image
from optreg.io import load_image
from optreg.metrics import dice, mean_over_labels, warp_label_map

PEOPLE = ("OASIS_1001_0000", "OASIS_1000_0000")


class Storage(NamedTuple):
    """Which axis of the array comes first, second, third, and which of them are reversed then."""

    order: tuple[int, int, int]
    flips: tuple[int, int, int]

    def store(self, image):
        """The image with its voxels in another order, and the header that says so."""
        step = np.eye(4)
        step[:3, :3] = np.eye(3)[:, self.order]
        data = image.data.transpose(self.order)
        turned = Grid(data.shape, image.grid.affine @ step)
        slices = tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)
        return Image(np.ascontiguousarray(data[slices]), turned.crop(slices), image.name)

    def restore(self, vectors):
        """Vectors (3, ...) in the world, stored so, at the voxels of the original."""
        slices = tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)
        back = np.argsort(self.order)
        return vectors[(slice(None), *slices)].transpose(0, *(1 + back))


STORAGES = {
    "LAS": Storage((0, 1, 2), (1, 0, 0)),
    "RPS": Storage((0, 1, 2), (0, 1, 0)),
    "RAI": Storage((0, 1, 2), (0, 0, 1)),
    "LPI": Storage((0, 1, 2), (1, 1, 1)),
    "ARS": Storage((1, 0, 2), (0, 0, 0)),
    "SRA": Storage((2, 0, 1), (0, 0, 0)),
    "SPR": Storage((2, 1, 0), (0, 1, 0)),
    "LSP": Storage((0, 2, 1), (1, 0, 1)),
}


@pytest.fixture(params=STORAGES)
def storage(request):
    """Storages by the orientation they give to an image in RAS."""
    return STORAGES[request.param]


def world(fixed, moving):
    """Displacements (3, X, Y, Z) in mm of the world."""
    return optreg.register(fixed, moving, preset="fast", device="cpu").transform.to_mm()


@pytest.fixture(scope="module")
def truth():
    """Displacements (3, X, Y, Z) of up to 2.5 voxels."""
    disp = np.random.default_rng(5).standard_normal((3, 48, 56, 44))
    disp = ndimage.gaussian_filter(disp, (0, 7, 7, 7))
    return (2.5 * disp / np.abs(disp).max()).astype(np.float32)


@pytest.fixture(scope="module")
def pair(truth):
    """Three tissues in an ellipsoid, on an oblique grid away from the origin."""
    shape = truth.shape[1:]
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(shape), 2.5)
    position = np.indices(shape) - (np.array(shape) - 1).reshape(3, 1, 1, 1) / 2
    radius = np.sqrt(((position / np.array([18, 22, 17]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0))
    tissue = 1.0 + np.digitize(noise, np.quantile(noise, [0.3, 0.7]))
    data = ndimage.gaussian_filter(np.where(radius < 1, tissue, 0), 0.6) * (radius < 1.05)
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", [0.2, -0.3, 0.1]).as_matrix()
    affine[:3] = np.column_stack([turn * [0.9, 1.0, 1.1], [31.0, -7.0, 12.0]])
    moving = Image(data.astype(np.float32), Grid(shape, affine), "moving")
    fixed = optreg.DisplacementField(truth, moving.grid).apply(moving).data
    return Image(np.where(fixed < 0.1, 0, fixed), moving.grid, "fixed"), moving


@pytest.fixture(scope="module")
def expected(pair):
    """Registration of the pair as it is."""
    return world(*pair)


def test_storages_are_what_they_are_called(blobs):
    for name, storage in STORAGES.items():
        stored = storage.store(blobs)
        assert stored.grid.orientation == name
        corner = stored.grid.voxel_to_world([3, 4, 5])
        index = blobs.grid.world_to_voxel(corner).round().astype(int)
        assert stored.data[3, 4, 5] == blobs.data[tuple(index)]
    signs = {np.sign(np.linalg.det(s.store(blobs).grid.affine)) for s in STORAGES.values()}
    assert signs == {-1, 1}


def test_moving_image_stored_in_another_way(storage, pair, expected):
    fixed, moving = pair
    found = world(fixed, storage.store(moving))
    assert np.abs(found - expected).max() < 1e-3


def test_fixed_image_stored_in_another_way(storage, pair, expected):
    fixed, moving = pair
    for other in (moving, storage.store(moving)):
        found = storage.restore(world(storage.store(fixed), other))
        assert np.abs(found - expected).max() < 1e-3


def test_header_alone_turns_the_result(pair, expected):
    """Another place, another direction and twice the size in the world: the vectors follow.

    As long as the axes are called the same: their order is that of the closest world axes.
    """
    turn = 2 * Rotation.from_euler("xyz", [-0.3, 0.2, 0.15]).as_matrix()
    matrix = np.eye(4)
    matrix[:3] = np.column_stack([turn, [-80.0, 15.0, 40.0]])
    moved = [Image(i.data, Grid(i.shape, matrix @ i.grid.affine), i.name) for i in pair]
    found = world(*moved)
    np.testing.assert_allclose(found, np.tensordot(turn, expected, 1), atol=1e-3)


@pytest.mark.slow
def test_real_pair_stored_in_other_ways(storage, data_dir):
    fixed, moving, *labels = real(data_dir)
    reference = real_result(data_dir)
    found = optreg.register(storage.store(fixed), storage.store(moving), preset="fast")
    overlap = [
        mean_over_labels(dice(a.data, warp_label_map(b.data, r.disp), moving_labels=b.data))
        for r, (a, b) in ((reference, labels), (found, map(storage.store, labels)))
    ]
    assert overlap[1] == pytest.approx(overlap[0], abs=1e-4)
    apart = storage.restore(found.transform.to_mm()) - reference.transform.to_mm()
    assert np.abs(apart).max() < 1e-3
    again = optreg.register(fixed, storage.store(moving), preset="fast")
    assert np.abs(again.disp - reference.disp).max() < 1e-3


@cache
def real(data_dir):
    """Images and label maps of two people, every second voxel along each axis."""
    scans = [
        load_image(data_dir / folder / f"{name}.nii.gz")
        for folder in ("imagesVal", "labelsVal")
        for name in PEOPLE
    ]
    second = (slice(None, None, 2),) * 3
    return [Image(np.ascontiguousarray(s.data[second]), s.grid.crop(second), s.name) for s in scans]


@cache
def real_result(data_dir):
    """Their registration as they are stored."""
    fixed, moving, *_ = real(data_dir)
    return optreg.register(fixed, moving, preset="fast")
