"""Target registration error of label maps and of points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optreg.errors import InputError
from optreg.metrics import tre_labels, tre_points


def blobs(shape, centres, radius=1):
    volume = np.zeros(shape, np.uint8)
    for label, (x, y, z) in enumerate(centres, start=1):
        volume[
            x - radius : x + radius + 1, y - radius : y + radius + 1, z - radius : z + radius + 1
        ] = label
    return volume


def constant(shift, shape=(16, 16, 16)):
    return np.broadcast_to(np.reshape(shift, (3, 1, 1, 1)), (3, *shape)).astype(np.float32)


@pytest.mark.parametrize("name", ["zero", "smooth", "strong"])
def test_equals_the_evaluator(reference_data, name):
    field = reference_data.field(name)
    maps = [reference_data.volume("landmarksVal", number) for number in ("1006", "1003")]
    found = tre_labels(field, *maps)
    assert found.mean_mm == pytest.approx(
        reference_data.pairs["1006_1003"][name]["tre_lm"], abs=1e-6
    )
    assert len(found.per_landmark_mm) == 32 and not found.vanished and not found.missing
    points = [reference_data.points(number) for number in ("1006", "1003")]
    # The blobs are the rounded points: the same landmarks, up to the deformation of the blobs.
    by_points = tre_points(field, *points)
    if name != "strong":
        assert by_points.mean_mm == pytest.approx(found.mean_mm, abs=0.2)


def test_label_maps_by_hand():
    fixed = blobs((16, 16, 16), [(4, 4, 4), (10, 10, 10)])
    moving = blobs((16, 16, 16), [(6, 4, 4), (10, 10, 13)])
    found = tre_labels(constant((0, 0, 0)), fixed, moving, spacing=(1.0, 1.0, 2.0))
    assert found.per_landmark_mm == {1: 2.0, 2: 6.0}
    assert found.mean_mm == 4.0
    # Fetching from x + 2 brings landmark 1 home.
    assert tre_labels(constant((2, 0, 0)), fixed, moving).per_landmark_mm[1] == 0.0


def test_vanished_and_missing_landmarks_are_reported():
    fixed = blobs((16, 16, 16), [(4, 4, 4), (10, 10, 10)])
    moving = blobs((16, 16, 16), [(2, 4, 4), (10, 10, 10), (13, 13, 13)])
    found = tre_labels(constant((6, 0, 0)), fixed, moving)
    assert found.vanished == (1,) and found.missing == (3,)
    assert np.isnan(found.per_landmark_mm[1])
    assert found.mean_mm == pytest.approx(6.0)
    gone = tre_labels(constant((99, 0, 0)), fixed, moving)
    assert gone.vanished == (1, 2) and np.isnan(gone.mean_mm)


def test_points_by_hand():
    fixed = np.array([[2.0, 3.0, 4.0], [5.25, 6.5, 7.0]])
    moving = fixed + np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 3.0]])
    found = tre_points(constant((1, 0, 0)), fixed, moving, spacing=(1.0, 1.0, 2.0))
    assert found.per_landmark_mm == pytest.approx({0: 0.0, 1: 6.0})
    assert found.mean_mm == pytest.approx(3.0)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.floats(0.0, 15.0)] * 3), min_size=1, max_size=5))
def test_points_follow_a_linear_field_exactly(points):
    # Linear interpolation reproduces an affine displacement, up to the last voxel.
    matrix = np.array([[0.1, 0.02, 0.0], [-0.05, 0.2, 0.01], [0.0, 0.03, -0.1]])
    disp = np.einsum("ij,jxyz->ixyz", matrix, np.indices((16, 16, 16)))
    fixed = np.array(points)
    found = tre_points(disp, fixed, fixed + fixed @ matrix.T)
    assert found.mean_mm == pytest.approx(0.0, abs=1e-9)


def test_unusable_landmarks_are_refused():
    disp = constant((0, 0, 0))
    with pytest.raises(InputError, match="2 fixed but 1 moving"):
        tre_points(disp, np.ones((2, 3)), np.ones((1, 3)))
    with pytest.raises(InputError, match=r"row 1 .*outside"):
        tre_points(disp, [[1, 1, 1], [1, 15.5, 1]], np.ones((2, 3)))
    with pytest.raises(InputError, match="row 1 is not finite"):
        tre_points(disp, [[1, 1, 1], [1, np.nan, 1]], np.ones((2, 3)))
    with pytest.raises(InputError, match=r"\(N, 3\)"):
        tre_points(disp, np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(InputError, match="not numbers"):
        tre_points(disp, [["a", "b", "c"]], [[1, 2, 3]])
    with pytest.raises(InputError, match="no label in common"):
        tre_labels(disp, blobs((16,) * 3, [(4, 4, 4)]), np.zeros((16,) * 3, int))
    with pytest.raises(InputError, match="one grid"):
        tre_labels(disp, np.zeros((9, 9, 9), int), np.zeros((9, 9, 9), int))
