"""Dice and the warping of labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from optreg.errors import InputError
from optreg.metrics import dice, evaluate, mean_over_labels, warp_label_map

SMALL_LABELS = hnp.arrays(np.uint8, (4, 5, 3), elements=st.integers(0, 4))


@pytest.mark.parametrize("name", ["zero", "smooth", "strong", "folding"])
def test_equals_the_evaluator(reference_data, label_pair, name):
    expected = reference_data.pairs["1001_1000"][name]
    fixed, moving = label_pair
    warped = warp_label_map(moving, reference_data.field(name))
    found = dice(fixed, warped, labels=reference_data.labels, moving_labels=moving)
    assert list(found) == reference_data.labels
    for label, value in found.items():
        wanted = expected["dice_per_label"][str(label)]
        wanted = np.nan if wanted is None else wanted
        assert value == pytest.approx(wanted, abs=1e-6, nan_ok=True), label
    assert mean_over_labels(found) == pytest.approx(expected["dice"], abs=1e-6)


def test_by_hand():
    fixed = np.zeros((4, 4, 4), np.uint8)
    fixed[:2] = 1
    warped = np.zeros_like(fixed)
    warped[1:3] = 1
    warped[3] = 2
    found = dice(fixed, warped)
    assert found[1] == 0.5  # 16 common voxels of 32 and 32
    assert found[0] == pytest.approx(2 * 0 / 48)
    assert np.isnan(found[2])
    assert mean_over_labels(found) == 0.25
    assert mean_over_labels(found, background=False) == 0.5


def test_label_that_the_field_removed_counts_as_zero():
    fixed = np.ones((4, 4, 4), np.uint8)
    moving = np.ones_like(fixed)
    moving[0, 0, 0] = fixed[0, 0, 0] = 7
    shift = np.zeros((3, 4, 4, 4))
    shift[0] = 1
    warped = warp_label_map(moving, shift)
    assert 7 not in warped
    assert dice(fixed, warped, moving_labels=moving)[7] == 0.0
    assert np.isnan(dice(fixed, warped)[7])


@settings(max_examples=50, deadline=None)
@given(SMALL_LABELS, SMALL_LABELS)
def test_invariants(a, b):
    forward, backward = dice(a, b), dice(b, a)
    for label, value in forward.items():
        assert np.isnan(value) or 0.0 <= value <= 1.0
        assert value == pytest.approx(backward[label], nan_ok=True)
        inside = [(array == label).astype(float) for array in (a, b)]
        if all(x.any() for x in inside):
            overlap = 2 * (inside[0] * inside[1]).sum() / (inside[0].sum() + inside[1].sum())
            assert value == pytest.approx(overlap)
    assert all(value == 1.0 for value in dice(a, a).values())


@pytest.mark.parametrize("dtype", [">i2", ">i4", ">u4", ">f4"])
def test_labels_in_any_byte_order(dtype):
    labels = np.random.default_rng(2).integers(0, 4, (8, 9, 10))
    disp = np.ones((3, 8, 9, 10), np.float32)
    expected = evaluate(disp, fixed_labels=labels, moving_labels=labels)["dice"]["mean"]
    stored = labels.astype(dtype)
    assert evaluate(disp, fixed_labels=stored, moving_labels=stored)["dice"]["mean"] == expected


def test_whole_numbers_in_float_and_unlisted_labels():
    labels = np.zeros((3, 3, 3))
    labels[0], labels[1] = 5.0, 300.0
    assert dice(labels, labels.astype(np.int64), labels=[300, 5]) == {300: 1.0, 5: 1.0}
    assert np.isnan(mean_over_labels(dice(labels, labels, labels=[9])))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full((2, 2, 2), 0.5), "fractions"),
        (np.full((2, 2, 2), -1), "range"),
        (np.full((2, 2, 2), np.nan), "range"),
        (np.full((2, 2, 2), 10**9), "range"),
        (np.zeros((2, 2)), "shape"),
        (np.zeros((2, 2, 2), complex), "type"),
        (np.zeros((2, 2, 3)), "one grid"),
    ],
)
def test_unusable_label_maps_are_refused(labels, message):
    with pytest.raises(InputError, match=message):
        dice(labels, np.zeros((2, 2, 2), np.uint8))


@pytest.mark.parametrize("labels", [[], [1, 1], [-1], [1.5]])
def test_unusable_label_lists_are_refused(labels):
    volume = np.zeros((2, 2, 2), np.uint8)
    with pytest.raises(InputError, match="label"):
        dice(volume, volume, labels=labels)


def test_labels_on_another_grid_are_refused():
    with pytest.raises(InputError, match="one grid"):
        warp_label_map(np.zeros((3, 3, 3), int), np.zeros((3, 4, 4, 4)))
