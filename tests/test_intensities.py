"""What counts as background."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import ndimage

from optreg.intensities import find_intensities, foreground, looks_like_labels


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_foreground_is_above_zero(dtype):
    data = np.zeros((12, 12, 12), dtype)
    data[3:9, 3:9, 3:9] = np.random.default_rng(0).integers(20, 120, (6, 6, 6))
    base, floor, top = find_intensities(data, 99.0)
    assert base == 0 and 0 < floor < 20
    assert top == pytest.approx(np.percentile(data[data > 0], 99))
    many = np.tile(data, (8, 8, 8))
    few = find_intensities(many, sparse=True)
    assert few.top == pytest.approx(top, rel=0.05) and few.base == 0
    assert np.array_equal(foreground(many), many > 0)


@pytest.mark.parametrize("below", [0.0, 1e-16, 0.05])
def test_traces_of_an_interpolation_are_background(below):
    rng = np.random.default_rng(1)
    clean = np.zeros((16, 16, 16))
    clean[4:12, 4:12, 4:12] = rng.uniform(0.2, 1, (8, 8, 8))
    traces = 10.0 ** rng.uniform(-40, -5, clean.shape) - below * rng.random(clean.shape)
    found = find_intensities(np.where(clean > 0, clean, traces))
    assert found.top == pytest.approx(find_intensities(clean).top, rel=1e-12) and found.base == 0
    assert np.array_equal(foreground(np.where(clean > 0, clean, traces)), clean > 0)


def test_far_below_zero_is_the_background():
    hounsfield = np.full((12, 12, 12), -1000.0)
    hounsfield[3:9, 3:9, 3:9] = np.random.default_rng(2).uniform(-100, 1500, (6, 6, 6))
    for shift in (0.0, -2000.0):
        found = find_intensities(hounsfield + shift)
        assert found.base == -1000 + shift
        assert np.array_equal(foreground(hounsfield + shift), hounsfield > -1000)


def test_only_the_region_says_how_bright_it_is():
    data = np.ones((12, 12, 12))
    data[6:] = 5
    assert find_intensities(data, region=data < 2).top == 1
    assert find_intensities(data).top == 5


@pytest.mark.parametrize("low", [-0.35, -1e6])
def test_single_voxels_below_zero_are_no_background(low):
    data = np.zeros((20, 20, 20))
    data[5:15, 5:15, 5:15] = np.random.default_rng(3).uniform(1, 3, (10, 10, 10))
    spoiled = data.copy()
    spoiled[2, 3, 4:9] = low
    assert find_intensities(spoiled) == find_intensities(data)


def test_masks_are_images():
    data = np.zeros((12, 12, 12), bool)
    data[3:9, 3:9, 3:9] = True
    assert np.array_equal(foreground(data), data)


@pytest.fixture(scope="module")
def parcels():
    """40 regions of a ball, numbered at random, about 6 voxels across."""
    rng = np.random.default_rng(4)
    where = np.moveaxis(np.indices((48, 40, 44)), 0, -1)
    seeds = rng.uniform(6, 38, (40, 3))
    nearest = np.argmin(((where[..., None, :] - seeds) ** 2).sum(-1), axis=-1)
    inside = ((where - [24, 20, 22]) ** 2).sum(-1) < 18**2
    return np.where(inside, rng.permutation(np.arange(1000, 1040))[nearest], 0)


@pytest.fixture(scope="module")
def scan(parcels):
    """What a scanner makes of it, as 0 to 255."""
    rng = np.random.default_rng(5)
    bright = 60 + parcels % 7 * 25 + rng.normal(0, 8, parcels.shape)
    return np.where(parcels > 0, np.clip(np.rint(bright), 1, 255), 0).astype(np.uint8)


SPHERES = np.zeros((48, 40, 44), np.uint8)
for number, middle in enumerate(np.ndindex(2, 2, 2), start=1):
    away = np.moveaxis(np.indices(SPHERES.shape), 0, -1) - np.array([10, 9, 11]) * (1, 1, 1)
    SPHERES[((away - np.array(middle) * 20) ** 2).sum(-1) <= 4] = number


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64, ">i2"])
def test_labels_are_told_in_any_type(parcels, dtype):
    labels = parcels.astype(dtype)
    assert looks_like_labels(labels) and looks_like_labels(np.asfortranarray(labels))
    assert looks_like_labels(labels[:, :, 20:21]) and looks_like_labels(labels[24:25])


@pytest.mark.parametrize(
    "labels",
    [SPHERES, SPHERES > 0, np.where(SPHERES > 0, 1, 0), SPHERES * (np.arange(44) % 9 == 0)],
    ids=["spheres", "mask", "one label", "flat"],
)
def test_small_structures_are_labels(labels):
    assert looks_like_labels(labels)


def test_single_voxels_are_labels():
    points = np.zeros((160, 60, 50), np.int16)
    for label, place in enumerate([(3, 4, 5), (40, 20, 30), (41, 50, 7), (150, 8, 44)], start=1):
        points[place] = label
    assert looks_like_labels(points)
    assert not looks_like_labels(0 * points)


def variants(scan):
    air = np.where(scan > 0, scan.astype(np.int16) * 5 - 500, -1000)
    yield "as it is", scan
    yield "16 bits", scan.astype(np.int16) * 9
    yield "whole numbers in float", scan.astype(np.float32)
    yield "CT", air
    yield "saturated", np.minimum(scan, 100)
    yield "one slice", scan[:, :, 20:21]
    yield "repeated", scan.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    for sigma in (1, 4):
        yield f"smooth {sigma}", np.rint(ndimage.gaussian_filter(scan.astype(float), sigma))
    soft = ndimage.gaussian_filter((scan > 0) * 1.0, 2)
    yield "probability in percent", np.rint(100 * soft).astype(np.uint8)
    yield "distances", np.rint(ndimage.distance_transform_edt(scan))
    yield "fractions in regions", np.where(scan > 120, 0.5, 0)
    yield "NaN", np.where(scan > 0, np.nan, 0)


def test_scans_are_no_labels(scan):
    taken = [name for name, image in variants(scan) if looks_like_labels(image)]
    assert taken == []


def test_real_scans_and_labels(data_dir):
    from optreg.io import load_image

    kinds = {"imagesVal": False, "labelsVal": True, "landmarksVal": True}
    for folder, expected in kinds.items():
        for path in sorted((data_dir / folder).glob("*.nii.gz"))[:3]:
            data = load_image(path).data
            for given in (data, data.astype(np.float32), data[::2, ::2, ::2]):
                assert looks_like_labels(given) == expected, path


def test_telling_labels_takes_no_time():
    labels = np.zeros((160, 224, 192), np.uint8)
    labels[20:140, 20:200, 20:170] = np.arange(1, 121, dtype=np.uint8)[:, None, None] // 8 + 1
    took = []
    for _ in range(5):
        start = time.perf_counter()
        assert looks_like_labels(labels)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.05
