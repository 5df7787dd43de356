"""Moving images with a known map from the fixed one."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from optreg.grid import Grid
from optreg.image import Image
from optreg.transform import Affine


@pytest.fixture(scope="session")
def centre_mm(blobs):
    """Centre of the foreground of `blobs`."""
    return blobs.grid.voxel_to_world(np.argwhere(blobs.data > 0)).mean(axis=0)


@pytest.fixture(scope="session")
def map_about(centre_mm):
    """Maker of a map: a rotation vector in degrees and a linear part about the centre, a shift."""

    def make(degrees, shift_mm, linear=1.0):
        matrix = np.eye(4)
        turn = Rotation.from_rotvec(np.deg2rad(degrees)).as_matrix()
        matrix[:3, :3] = turn @ (np.asarray(linear) * np.eye(3))
        matrix[:3, 3] = centre_mm + shift_mm - matrix[:3, :3] @ centre_mm
        return Affine(matrix)

    return make


@pytest.fixture(scope="session")
def moved_by(blobs):
    """Maker of the image that a map leads to, on another grid, by cubic interpolation."""

    def make(affine, contrast=lambda x: x):
        corners = affine.to_points_mm(blobs.grid.voxel_to_world([[0, 0, 0], [39, 47, 43]]))
        spacing = np.array([1.2, 0.9, 1.1])
        low = corners.mean(axis=0) - 36
        header = np.diag([*spacing, 1.0])
        header[:3, 3] = low
        grid = Grid((60, 80, 66), header)
        index = np.moveaxis(np.indices(grid.shape), 0, -1)
        back = affine.invert().to_points_mm(grid.voxel_to_world(index).reshape(-1, 3))
        position = blobs.grid.world_to_voxel(back).T.reshape(3, *grid.shape)
        data = ndimage.map_coordinates(blobs.data, position, order=3, mode="constant")
        data = np.where(data > 0.05, contrast(data), 0)
        return Image(data.astype(np.float32), grid, "moved")

    return make


@pytest.fixture(scope="session")
def error_mm(blobs):
    """Function that gives the largest distance of two maps over the foreground."""
    points = blobs.grid.voxel_to_world(np.argwhere(blobs.data > 0)[::97])

    def measure(found, expected):
        apart = found.to_points_mm(points) - expected.to_points_mm(points)
        return np.sqrt((apart**2).sum(axis=1)).max()

    return measure
