"""Robust Hausdorff distance and the surface areas behind it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optreg.errors import InputError
from optreg.metrics import hd95, surface_areas, warp_label_map


def box(shape, low, high):
    volume = np.zeros(shape, np.uint8)
    volume[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    return volume


# One field with all labels, the others with a third each: the whole list costs some seconds.
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("strong", slice(None)),
        ("zero", slice(0, None, 3)),
        ("smooth", slice(1, None, 3)),
        ("folding", slice(2, None, 3)),
    ],
)
def test_equals_the_evaluator(reference_data, label_pair, name, part):
    expected = reference_data.pairs["1001_1000"][name]["hd95_per_label"]
    fixed, moving = label_pair
    warped = warp_label_map(moving, reference_data.field(name))
    labels = reference_data.labels[part]
    found = hd95(fixed, warped, labels=labels, moving_labels=moving)
    for label in labels:
        wanted = np.nan if expected[str(label)] is None else expected[str(label)]
        assert found[label] == pytest.approx(wanted, abs=1e-6, nan_ok=True), label


def test_areas_of_simple_neighbourhoods():
    areas = surface_areas()
    corner = np.sqrt(3) / 8
    assert areas[0] == areas[255] == 0.0
    for k in range(8):
        assert areas[1 << k] == pytest.approx(corner)
        assert areas[255 - (1 << k)] == pytest.approx(corner)
    assert areas[0b00001111] == areas[0b11110000] == pytest.approx(1.0)  # one side along x
    assert areas[0b00000011] == pytest.approx(np.sqrt(0.5))  # an edge: a bevel
    assert areas[0b01101001] == pytest.approx(4 * corner)  # alternating corners
    assert areas[0b00010111] == pytest.approx(0.75 * np.sqrt(3))  # corner + neighbours: hexagon
    assert (areas[1:255] > 0).all()


def test_areas_scale_with_the_voxels():
    np.testing.assert_allclose(surface_areas((2.0, 2.0, 2.0)), 4 * surface_areas())
    x_side = surface_areas((5.0, 2.0, 3.0))[0b00001111]
    assert x_side == pytest.approx(6.0)


def test_shifted_box_by_hand():
    a, b = box((20, 20, 20), (5, 5, 5), (15, 15, 15)), box((20, 20, 20), (8, 5, 5), (18, 15, 15))
    # A sixth of each surface faces +-x and is 3 voxels away: more than 5 % of the area.
    assert hd95(a, b, labels=[1])[1] == pytest.approx(3.0)
    assert hd95(a, b, labels=[1], spacing=(0.5, 9.0, 9.0))[1] == pytest.approx(1.5)
    assert hd95(a, a, labels=[0, 1]) == {0: 0.0, 1: 0.0}


def test_outliers_below_five_percent_are_forgiven():
    a = box((40, 40, 40), (5, 5, 5), (35, 35, 35))
    b = a.copy()
    b[2, 2, 2] = 1
    found = hd95(a, b, labels=[1])
    assert found[1] == 0.0
    assert hd95(a, b, labels=[1], percent=100.0)[1] > 3.0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(3)))
def test_symmetric_and_blind_to_axis_order(seed, axes):
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 3, (6, 5, 7)).astype(np.uint8) for _ in range(2))
    spacing = (1.0, 2.0, 0.5)
    found = hd95(a, b, spacing=spacing)
    assert hd95(b, a, spacing=spacing) == pytest.approx(found)
    turned = hd95(a.transpose(axes), b.transpose(axes), spacing=[spacing[i] for i in axes])
    assert turned == pytest.approx(found)


def test_full_percentile_equals_the_distance_of_the_surfaces():
    # With 100 % no weights matter: plain Hausdorff distance of the mixed neighbourhoods.
    rng = np.random.default_rng(8)
    a, b = (rng.random((6, 7, 5)) > 0.7 for _ in range(2))

    def cells(mask):
        padded = np.pad(mask, 1)
        return np.array(
            [
                index
                for index in np.ndindex(*(n - 1 for n in padded.shape))
                if 0 < padded[tuple(slice(i, i + 2) for i in index)].sum() < 8
            ]
        )

    distances = np.linalg.norm(cells(a)[:, None] - cells(b)[None], axis=-1)
    expected = max(distances.min(axis=0).max(), distances.min(axis=1).max())
    assert hd95(a, b, labels=[1], percent=100.0)[1] == pytest.approx(expected)


def test_missing_and_removed_labels():
    a, b = box((9, 9, 9), (2, 2, 2), (5, 5, 5)), np.zeros((9, 9, 9), np.uint8)
    assert np.isnan(hd95(a, b)[1])
    assert hd95(a, b, moving_labels=a)[1] == np.inf
    assert np.isnan(hd95(b, a, moving_labels=a)[1])


def test_more_labels_than_a_byte_holds():
    volume = np.arange(7 * 7 * 7).reshape(7, 7, 7)
    assert set(hd95(volume, volume).values()) == {0.0}


def test_unusable_input_is_refused():
    a = box((5, 5, 5), (1, 1, 1), (3, 3, 3))
    with pytest.raises(InputError, match="one grid"):
        hd95(a, a[1:])
    for spacing in ((1.0, 1.0), (1.0, 0.0, 1.0), (1.0, np.nan, 1.0)):
        with pytest.raises(InputError, match="spacing"):
            hd95(a, a, spacing=spacing)
    with pytest.raises(InputError, match="percentile"):
        hd95(a, a, percent=0.0)
