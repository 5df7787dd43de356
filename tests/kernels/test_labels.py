"""Nearest-neighbour warping of label maps: the kernel against SciPy."""

import numpy as np
import pytest

from optreg.kernels.cpu.labels import warp_labels
from optreg.kernels.reference.labels import warp_labels as warp_labels_reference


@pytest.mark.parametrize("label_type", [np.uint8, np.int32])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cpu_equals_reference(dtype, label_type):
    rng = np.random.default_rng(0)
    labels = rng.integers(1, 200, (6, 7, 8)).astype(label_type)
    # Quarters bring ties (half-way positions) and positions exactly on and beyond the border.
    ties = rng.integers(-12, 13, (3, 6, 7, 8)) / 4
    for disp in (ties, rng.normal(0, 2, (3, 6, 7, 8))):
        found = warp_labels(labels, disp.astype(dtype))
        assert found.dtype == label_type
        np.testing.assert_array_equal(found, warp_labels_reference(labels, disp.astype(dtype)))


def test_whole_shift_moves_labels_and_fills_with_zero():
    labels = np.arange(1, 61, dtype=np.uint8).reshape(3, 4, 5)
    disp = np.zeros((3, 3, 4, 5), np.float32)
    disp[1] = 1.0
    warped = warp_labels(labels, disp)
    np.testing.assert_array_equal(warped[:, :-1], labels[:, 1:])
    assert (warped[:, -1] == 0).all()
