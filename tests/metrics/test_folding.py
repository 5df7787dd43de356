"""NDV, fold counts and SDlogJ."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optreg.errors import InputError
from optreg.metrics import count_folds, folded_voxels, ndv_percent, sdlogj, sdlogj_evaluator

FIELDS = ["zero", "smooth", "strong", "folding", "mild_folding"]


@pytest.mark.parametrize("name", FIELDS)
def test_equals_the_evaluator(reference_data, name):
    expected = reference_data.pairs["1001_1000"][name]
    field = reference_data.field(name)
    for role, number in (("fixed", "1001"), ("moving", "1000")):
        image = reference_data.volume("imagesVal", number)
        sums = count_folds(field, image)
        ndv = 100 * sums.negative_volume / sums.mask_voxels
        assert ndv == pytest.approx(expected[f"ndv_percent_mask_{role}"], abs=1e-9)
        # The evaluator's voxel count is that of the central difference, and it divides the
        # number of tetrahedra by ten.
        assert sums.folded_central == expected[f"non_diffeomorphic_voxels_mask_{role}"]
        assert sums.folded_tetrahedra / 10 == pytest.approx(
            expected[f"non_diffeomorphic_tetrahedra_mask_{role}"], abs=1e-6
        )
    if "sdlogj_as_evaluator" in expected:
        assert sdlogj_evaluator(field) == pytest.approx(expected["sdlogj_as_evaluator"], abs=1e-9)


def test_identity_is_perfect():
    disp = np.zeros((3, 6, 7, 8), np.float32)
    assert ndv_percent(disp) == 0.0
    assert folded_voxels(disp) == 0
    assert sdlogj(disp) == 0.0
    assert sdlogj_evaluator(disp) == 0.0


def test_a_single_spike_by_hand():
    # Voxel p = (3, 3, 3) moves 2 along x, past its neighbour: the edge between them turns over.
    # The 4 corners at p with a forward difference in x and the 4 at p + x with a backward one
    # have J = 1 - 2 = -1. A central tetrahedron has two points on either side in x: it grows
    # with p on its upper side, and is flat (J = 0) with p on its lower one: J*1 at p and p-y-z,
    # J*2 at p+x+y and p+x+z.
    disp = np.zeros((3, 7, 7, 7))
    disp[0, 3, 3, 3] = 2.0
    sums = count_folds(disp)
    assert sums.mask_voxels == 125
    assert sums.folded_tetrahedra == 4 + 4 + 2 + 2
    assert sums.folded_voxels == 5
    assert sums.negative_volume == pytest.approx(8 / 12)
    assert sums.folded_central == 1  # at p + x: the neighbours are at the same place
    assert ndv_percent(disp) == pytest.approx(100 * 8 / 12 / 125)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.05, 3.0), st.floats(0.05, 3.0), st.floats(0.05, 3.0))
def test_scaling_never_folds_and_has_no_roughness(sx, sy, sz):
    scale = np.array([sx, sy, sz]).reshape(3, 1, 1, 1)
    disp = (scale - 1.0) * np.indices((6, 6, 6))
    assert ndv_percent(disp) == 0.0
    assert sdlogj(disp) == pytest.approx(0.0, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.floats(1.01, 20.0), st.integers(0, 2))
def test_a_known_fold_is_always_found(depth, axis):
    disp = np.zeros((3, 8, 8, 8))
    plane = [slice(None)] * 3
    plane[axis] = 4
    disp[(axis, *plane)] = depth
    assert ndv_percent(disp) > 0.0
    assert folded_voxels(disp) >= 6 * 6


def test_sdlogj_by_hand():
    # Two halves that shrink and grow by known factors along x; only their seam is in between.
    position = np.cumsum(np.r_[np.full(10, 0.5), np.full(10, 2.0)])
    disp = np.zeros((3, 20, 5, 5))
    disp[0] = (position - np.arange(20))[:, None, None]
    determinants = np.gradient(position)[1:-1]
    assert sdlogj(disp) == pytest.approx(np.log(determinants).std())
    assert sdlogj_evaluator(disp) == pytest.approx(np.log(determinants[1:-1] + 3).std())
    mask = np.zeros((20, 5, 5))
    mask[12:] = 0.7
    assert sdlogj(disp, mask) == pytest.approx(0.0, abs=1e-12)


def test_folds_make_sdlogj_large_but_finite():
    disp = np.zeros((3, 9, 9, 9))
    disp[0] = (-2.0 * np.arange(9))[:, None, None]
    disp[0, :4] = 0.0
    assert 5.0 < sdlogj(disp) < 25.0


def test_mask_selects_the_voxels():
    disp = np.zeros((3, 12, 8, 8), np.float32)
    disp[0, 8, 4, 4] = 4.0
    mask = np.zeros((12, 8, 8), np.int16)
    mask[:6] = 7
    assert ndv_percent(disp) > 0
    assert ndv_percent(disp, mask) == 0.0
    assert ndv_percent(disp, -mask + 1) > 0  # negative values lie outside


@pytest.mark.parametrize(
    ("disp", "message"),
    [
        (np.zeros((5, 5, 5, 3)), "moveaxis"),
        (np.zeros((5, 5, 5)), "shape"),
        (np.full((3, 5, 5, 5), np.nan), "375 NaN"),
        (np.zeros((3, 5, 5, 5), complex), "complex"),
        (np.zeros((3, 2, 5, 5)), "no voxel"),
    ],
)
def test_unusable_fields_are_refused(disp, message):
    with pytest.raises(InputError, match=message):
        count_folds(disp)


def test_unusable_masks_are_refused():
    disp = np.zeros((3, 5, 5, 5))
    with pytest.raises(InputError, match="empty"):
        ndv_percent(disp, np.zeros((5, 5, 5)))
    with pytest.raises(InputError, match="shape"):
        ndv_percent(disp, np.ones((5, 5, 4)))
    border = np.ones((5, 5, 5))
    border[1:-1, 1:-1, 1:-1] = 0
    for metric in (ndv_percent, sdlogj):
        with pytest.raises(InputError, match="border"):
            metric(disp, border)
    with pytest.raises(InputError, match="too small"):
        sdlogj_evaluator(np.zeros((3, 4, 9, 9)))
