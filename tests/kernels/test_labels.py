"""Kernels on label maps against SciPy."""

import numpy as np
import pytest
from scipy import ndimage

from optreg.kernels import thread_limit
from optreg.kernels.cpu.labels import nearest_of_label, warp_labels
from optreg.kernels.reference.labels import nearest_of_label as nearest_of_label_reference
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


@pytest.mark.parametrize("threads", [1, 2])
def test_nearest_of_label_is_the_distance_transform_nearby(threads):
    rng = np.random.default_rng(1)
    shape, reach, spacing = (14, 15, 16), 3, np.array([1.0, 2.0, 0.5])
    steps = np.indices((2 * reach + 1,) * 3).reshape(3, -1).T - reach
    lengths = np.linalg.norm(steps * spacing, axis=1)
    order = np.argsort(lengths, kind="stable")
    offsets, lengths = steps[order] @ np.array([15 * 16, 16, 1]), lengths[order]
    inside = np.zeros(shape, bool)
    inside[reach:-reach, reach:-reach, reach:-reach] = True

    def cells(shares):
        masks = [(rng.random(shape) < share) & inside for share in shares]
        parts = [np.flatnonzero(mask) for mask in masks]
        return masks, np.concatenate(parts), np.cumsum([0, *map(len, parts)])

    _, mine, start = cells((0.3, 0.2, 0.1, 0.3))
    masks, others, other_start = cells((0.3, 0.02, 0.0, 0.1))  # the third has none
    arguments = mine, start, others, other_start, offsets, lengths, inside.size
    with thread_limit(threads):
        found = nearest_of_label(*arguments)
    np.testing.assert_array_equal(found, nearest_of_label_reference(*arguments))
    for label, mask in enumerate(masks):
        part = slice(start[label], start[label + 1])
        if not mask.any():
            assert np.isinf(found[part]).all()
            continue
        truth = ndimage.distance_transform_edt(~mask, sampling=spacing).reshape(-1)[mine[part]]
        near = truth < 4 * 0.5  # all neighbours that close are among the offsets
        assert near.sum() > 30
        np.testing.assert_allclose(found[part][near], truth[near], rtol=1e-12)
