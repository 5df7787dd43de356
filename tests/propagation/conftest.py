"""A subject and three atlases that are known deformations of it."""

import numpy as np
import pytest
from scipy import ndimage

from optreg.grid import Grid
from optreg.image import Image
from optreg.propagation import Atlas
from optreg.transform import DisplacementField


@pytest.fixture(scope="session")
def subject(blobs):
    """Image and label map (16-bit, four labels and background) on one grid of 1 x 1 x 1.5 mm."""
    grid = Grid(blobs.shape, blobs.grid.affine @ np.diag([1, 1, 1.5, 1]))
    data = (1000 * blobs.data).astype(np.float32)
    labels = np.digitize(ndimage.gaussian_filter(data, 2), [60, 250, 350, 450]).astype(np.int16)
    return Image(data, grid, "subject.nii.gz"), Image(10 * labels, grid, "subject_seg.nii.gz")


@pytest.fixture(scope="session")
def atlases(subject):
    """Three people: the subject warped by random smooth fields of up to 3 voxels."""
    found = []
    for seed in range(3):
        noise = np.random.default_rng(seed).standard_normal((3, *subject[0].shape))
        disp = ndimage.gaussian_filter(noise, (0, 6, 6, 6))
        field = DisplacementField(disp * (3 / np.abs(disp).max()), subject[0].grid)
        image, labels = field.apply(subject[0]), field.apply(subject[1], "label")
        found.append(Atlas(image, labels, f"person{seed}"))
    return found
