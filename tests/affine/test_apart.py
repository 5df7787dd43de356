"""Images that lie apart are told from those that only differ."""

import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from optreg.affine import lie_apart
from optreg.errors import InputError
from optreg.grid import Grid
from optreg.image import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "kernels"))
from cuda_host import backend_named

CONTRASTS = {
    "same": lambda x: x,
    "inverted": lambda x: 1.1 - x,
    "folded": lambda x: 0.1 + 4 * (x - 0.5) ** 2,
}
WAY = np.array([2.0, -1.0, 2.0]) / 3
AXIS = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)


@pytest.fixture(scope="module")
def size_mm(blobs):
    """Longest side of the foreground: motion is judged relative to it."""
    return float(np.ptp(blobs.grid.voxel_to_world(np.argwhere(blobs.data > 0)), axis=0).max())


@pytest.mark.parametrize("contrast", CONTRASTS.values(), ids=CONTRASTS)
@pytest.mark.parametrize(
    ("degrees", "share", "apart"),
    [
        (0, 0, False),
        (2, 0, False),
        (0, 0.015, False),
        (15, 0, True),
        (0, 0.06, True),
        (40, 1, True),
    ],
)
def test_motion_decides(degrees, share, apart, contrast, blobs, map_about, moved_by, size_mm):
    motion = map_about(degrees * AXIS, share * size_mm * WAY)
    assert lie_apart(blobs, moved_by(motion, contrast)) is apart


@settings(max_examples=6)
@given(order=st.sampled_from(list(permutations(range(3)))), who=st.sampled_from((0, 1)))
def test_storage_does_not(order, who, blobs, map_about, moved_by, size_mm):
    for share in (0.01, 0.08):
        images = [blobs, moved_by(map_about([0, 0, 0], share * size_mm * WAY))]
        image = images[who]
        columns = np.r_[list(order), 3]
        grid = Grid(tuple(image.shape[a] for a in order), image.grid.affine[:, columns])
        images[who] = Image(np.ascontiguousarray(image.data.transpose(order)), grid)
        assert lie_apart(*images) is (share > 0.05)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("who", [0, 1])
def test_field_of_view_that_ends_in_the_object(axis, who, blobs):
    used = np.flatnonzero((blobs.data > 0).any(axis=tuple(a for a in range(3) if a != axis)))
    half = [slice(None)] * 3
    half[axis] = slice(int(used.mean()), None)
    part = Image(blobs.data[tuple(half)], blobs.grid.crop(tuple(half)))
    images = [blobs, blobs]
    images[who] = part
    assert lie_apart(*images) is False


def test_lost_origin(blobs, size_mm):
    affine = blobs.grid.affine.copy()
    affine[:3, 3] += 0.8 * size_mm * WAY
    assert lie_apart(blobs, Image(blobs.data, Grid(blobs.shape, affine))) is True


def test_images_that_say_nothing_about_each_other():
    """A motion that explains nothing is not believed."""
    grid = Grid.identity((40, 40, 40))
    textures = (
        ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(grid.shape), 4)
        for seed in (1, 2)
    )
    images = [Image((t - t.min() + 1e-3).astype(np.float32), grid) for t in textures]
    assert lie_apart(*images) is False


def test_any_resolution_and_range(blobs, size_mm):
    """Fine images are averaged; intensities may be larger than float32."""
    fine = np.kron(blobs.data, np.ones((3, 3, 3))) * 1e200 - 3e199
    affine = blobs.grid.affine @ np.diag([1 / 3, 1 / 3, 1 / 3, 1])
    affine[:3, 3] = blobs.grid.voxel_to_world([-1 / 3] * 3)
    grid = Grid(fine.shape, affine)
    assert lie_apart(blobs, Image(fine, grid)) is False
    affine = affine.copy()
    affine[:3, 3] += 0.06 * size_mm * WAY
    assert lie_apart(blobs, Image(fine, Grid(fine.shape, affine))) is True


def test_flat_images():
    data = np.zeros((64, 64, 3), np.float32)
    texture = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((48, 40, 3)), 3)
    data[8:56, 12:52] = texture - 1.5 * texture.min()
    image = Image(data, Grid.identity(data.shape))
    assert lie_apart(image, image) is False
    assert lie_apart(image, Image(np.roll(data, 8, axis=0), image.grid)) is True


def test_nothing_to_see(blobs):
    empty = Image(np.zeros_like(blobs.data), blobs.grid, "empty.nii")
    with pytest.raises(InputError, match=r"empty\.nii: no foreground"):
        lie_apart(blobs, empty)


def test_devices_agree(blobs, map_about, moved_by, size_mm):
    backend = backend_named("cuda-host")
    for share in (0.01, 0.08):
        moving = moved_by(map_about([3, 0, 0], share * size_mm * WAY))
        assert lie_apart(blobs, moving, backend) is lie_apart(blobs, moving) is (share > 0.05)


@pytest.mark.parametrize("place", [np.s_[:3], np.s_[-3:]])
def test_foreground_at_the_border(place):
    """What is averaged in blocks is not lost where the blocks do not fit."""
    data = np.zeros((101, 180, 180), np.float32)
    texture = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((3, 170, 170)), 3)
    data[place, 5:175, 5:175] = texture - 1.5 * texture.min()
    image = Image(data, Grid.identity(data.shape))
    assert lie_apart(image, image) is False
