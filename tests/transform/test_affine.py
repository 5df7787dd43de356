import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from optreg.errors import GeometryError
from optreg.grid import Grid
from optreg.image import Image
from optreg.transform import Affine

ANGLES = st.tuples(*[st.floats(-3, 3)] * 3)


def affine(angles, shift=(3.0, -4.0, 5.0)):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles).as_matrix() @ np.diag([1.1, 0.9, 1.3])
    matrix[:3, 3] = shift
    return Affine(matrix)


@given(ANGLES, ANGLES)
def test_compose_applies_the_other_first(a, b):
    first, then = affine(a), affine(b)
    points = np.array([[1.0, 2, 3], [-30, 5, 80]])
    joined = then.compose(first).to_points_mm(points)
    assert_allclose(joined, then.to_points_mm(first.to_points_mm(points)), atol=1e-9)
    assert_allclose(first.invert().to_points_mm(first.to_points_mm(points)), points, atol=1e-9)


def test_points_move_as_in_nibabel():
    transform, points = affine([0.1, 0.2, 0.3]), np.array([[1.0, 2, 3]])
    expected = nib.affines.apply_affine(transform.matrix, points)
    assert_allclose(transform.to_points_mm(points), expected)


def test_displacement_moves_points_alike(oblique_grid):
    transform = affine([0.2, -0.1, 0.15])
    moving = Grid((30, 31, 32), np.diag([2.0, 1, 1.5, 1]))
    field = transform.to_displacement(oblique_grid, moving)
    vox = np.array([[0.0, 0, 0], [4.5, 3.2, 8], [17, 22, 19]])
    mm = oblique_grid.voxel_to_world(vox)
    assert_allclose(field.to_points_mm(mm), transform.to_points_mm(mm), atol=1e-4)
    expected = moving.world_to_voxel(transform.to_points_mm(mm))
    assert_allclose(field.to_points(vox), expected, atol=1e-4)


def test_resampling_equals_itk(blobs, oblique_grid):
    transform = affine([0.2, -0.1, 0.15], [2, 1, -3])
    fixed = Grid(oblique_grid.shape, oblique_grid.affine.copy())
    centre = blobs.grid.voxel_to_world((np.array(blobs.shape) - 1) / 2)
    shift = np.eye(4)
    shift[:3, 3] = centre - fixed.voxel_to_world((np.array(fixed.shape) - 1) / 2)
    fixed = Grid(fixed.shape, shift @ fixed.affine)
    warped = transform.apply(blobs, fixed)
    assert isinstance(warped, Image)
    assert warped.data.max() > 0.5

    flip = np.diag([-1.0, -1, 1, 1])
    lps = flip @ transform.matrix @ flip
    itk = sitk.AffineTransform(3)
    itk.SetMatrix(lps[:3, :3].ravel().tolist())
    itk.SetTranslation(lps[:3, 3].tolist())
    moving = sitk.GetImageFromArray(blobs.data.transpose(2, 1, 0))
    place(moving, blobs.grid)
    reference = sitk.Image(*fixed.shape, sitk.sitkFloat32)
    place(reference, fixed)
    expected = sitk.GetArrayFromImage(sitk.Resample(moving, reference, itk, sitk.sitkLinear, 0.0))
    assert_allclose(warped.data, expected.transpose(2, 1, 0), atol=1e-4)


def place(image, grid):
    flip = np.array([-1.0, -1, 1])
    image.SetSpacing(grid.spacing.tolist())
    image.SetOrigin((grid.affine[:3, 3] * flip).tolist())
    image.SetDirection((grid.directions * flip[:, None]).ravel().tolist())


def test_array_needs_the_moving_grid(blobs, oblique_grid):
    warped = Affine.identity().apply(blobs.data, oblique_grid, blobs.grid)
    as_image = Affine.identity().apply(blobs, oblique_grid)
    assert isinstance(warped, np.ndarray)
    assert_allclose(warped, as_image.data)


@pytest.mark.parametrize(
    "matrix", [np.zeros((4, 4)), np.diag([1, 0, 1, 1]), np.full((4, 4), np.nan), np.eye(3)]
)
def test_unusable_matrix_is_refused(matrix):
    with pytest.raises(GeometryError, match="transform: "):
        Affine(matrix)


def test_matrix_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        Affine.identity().matrix[0, 0] = 2


@given(ANGLES, st.tuples(*[st.floats(0.3, 3)] * 3), st.tuples(*[st.floats(-0.5, 0.5)] * 3))
def test_parts_make_the_whole(angles, scale, shear):
    """Rotation, then shear, then scale, each made by its own means."""
    x, y, z = (
        Rotation.from_rotvec(np.eye(3)[axis] * angle).as_matrix()
        for axis, angle in enumerate(angles)
    )
    upper = np.array([[1, shear[0], shear[1]], [0, 1, shear[2]], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = z @ y @ x @ upper @ np.diag(scale)
    matrix[:3, 3] = 3, -4, 5
    parts = Affine(matrix).parts()
    assert_allclose(parts.scale, scale, rtol=1e-9)
    assert_allclose(parts.shear, shear, atol=1e-9)
    turned = Rotation.from_euler("xyz", parts.rotation_deg, degrees=True).as_matrix()
    assert_allclose(turned, z @ y @ x, atol=1e-7)
    assert_allclose(parts.translation_mm, (3, -4, 5), atol=1e-12)
    assert parts.volume == pytest.approx(np.prod(scale))


def test_parts_of_a_mirror():
    parts = Affine(np.diag([-2.0, 1, 1, 1])).parts()
    assert_allclose(parts.scale, (-2, 1, 1))
    assert_allclose(parts.rotation_deg, 0, atol=1e-12)
    assert parts.volume == -2


def test_translation_is_that_of_the_center():
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    parts = Affine(matrix).parts(center_mm=(10, 0, 0))
    assert_allclose(parts.translation_mm, (-10, 10, 0), atol=1e-12)
    assert_allclose(parts.rotation_deg, (0, 0, 90), atol=1e-12)
