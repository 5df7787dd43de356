"""A small pair, good as files and easily spoiled."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from commands import fails, logger_given_back, succeeds  # noqa: F401
from scipy import ndimage

from optreg.grid import Grid
from optreg.image import Image
from optreg.io import save_image
from optreg.transform import DisplacementField

SHAPE = (24, 28, 26)
AFFINE = np.diag([1.0, 1.0, 1.0, 1.0])
AFFINE[:3, 3] = -11.5, -13.5, -12.5


@pytest.fixture(scope="session")
def head() -> Image:
    """Smooth texture in an ellipsoid, 0 outside."""
    noise = np.random.default_rng(12).standard_normal(SHAPE)
    texture = ndimage.gaussian_filter(noise, 2)
    position = np.indices(SHAPE) - (np.array(SHAPE) - 1).reshape(3, 1, 1, 1) / 2
    radius = np.sqrt(((position / np.array([9.0, 11, 10]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0))
    inside = np.clip((1 - radius) * 4, 0, 1)
    data = inside * (1 + 0.7 * texture / np.abs(texture).max())
    return Image(_in_thousandths(data), Grid(SHAPE, AFFINE), "head")


@pytest.fixture(scope="session")
def deformed(head) -> Image:
    """The same, moved by up to two voxels."""
    disp = np.random.default_rng(3).standard_normal((3, *SHAPE))
    disp = ndimage.gaussian_filter(disp, (0, 5, 5, 5))
    field = DisplacementField((2 * disp / np.abs(disp).max()).astype(np.float32), head.grid)
    return Image(_in_thousandths(field.apply(head).data), head.grid, "deformed")


def _in_thousandths(data):
    """Intensities that integers hold as well, with a border that is no matter of rounding."""
    return (np.rint(np.where(data < 0.05, 0, data) * 1000) / 1000).astype(np.float32)


@pytest.fixture(scope="session")
def labels(head, deformed) -> tuple[np.ndarray, np.ndarray]:
    """Label maps of `head` and `deformed`: 0 to 3."""
    first, second = (
        np.digitize(i.data, [0.01, 0.9, 1.1]).astype(np.int16) for i in (head, deformed)
    )
    return first, second


@pytest.fixture
def good(head, tmp_path_factory):
    """File of `head`."""
    return save_image(tmp_path_factory.mktemp("good") / "head.nii.gz", head.data, head.grid)


@pytest.fixture
def pair(good, deformed):
    """Options of a quick ``optreg register``."""
    moving = save_image(good.with_name("deformed.nii.gz"), deformed.data, deformed.grid)
    return {"fixed": good, "moving": moving, "preset": "fast", "device": "cpu"}


@pytest.fixture(scope="session")
def nifti():
    """Function that saves an array with nibabel and then changes its header on disk."""

    def save(path, data, affine=AFFINE, **fields):
        image = nib.Nifti1Image(data, affine)
        image.header.set_xyzt_units("mm")
        plain = path.with_name("plain.nii")
        nib.save(image, plain)
        raw = bytearray(plain.read_bytes())
        plain.unlink()
        for field, value in fields.items():
            dtype, offset = nib.Nifti1Header.template_dtype.fields[field][:2]
            raw[offset : offset + dtype.itemsize] = np.array(value, dtype.base).tobytes()
        path.write_bytes(raw)
        return path

    return save
