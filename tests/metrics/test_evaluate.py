"""The one-call evaluation."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from optreg import metrics
from optreg.errors import GeometryError, InputError
from optreg.grid import Grid
from optreg.image import Image
from optreg.transform import DisplacementField


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    labels = np.zeros((14, 12, 13), np.uint8)
    labels[3:8, 3:8, 3:8], labels[8:11, 4:9, 4:9] = 1, 2
    disp = rng.normal(0, 0.1, (3, *labels.shape)).astype(np.float32)
    return disp, labels, np.roll(labels, 1, axis=0)


def test_only_what_was_asked_for(scene):
    disp, fixed, moving = scene
    assert set(metrics.evaluate(disp)) == {"folding", "smoothness"}
    found = metrics.evaluate(disp, fixed_labels=fixed, moving_labels=moving, hd95=False)
    assert set(found) == {"folding", "smoothness", "dice"}


def test_equals_the_single_metrics(scene):
    disp, fixed, moving = scene
    mask, points, spacing = fixed > 0, np.array([[4.0, 5.0, 6.0]]), (1.0, 1.5, 2.0)
    found = metrics.evaluate(
        disp,
        fixed_labels=fixed,
        moving_labels=moving,
        labels=[0, 1, 2, 5],
        fixed_mask=mask,
        inverse=-disp,
        fixed_landmarks=points,
        moving_landmarks=points + 1,
        spacing=spacing,
    )
    assert found["folding"]["ndv_percent"] == metrics.ndv_percent(disp, mask)
    assert found["folding"]["mask_voxels"] == mask.sum()
    assert found["smoothness"]["sdlogj"] == metrics.sdlogj(disp, mask)
    assert found["smoothness"]["sdlogj_evaluator"] == metrics.sdlogj_evaluator(disp)
    warped = metrics.warp_label_map(moving, disp)
    dice = metrics.dice(fixed, warped, labels=[0, 1, 2])
    assert {k: found["dice"]["per_label"][k] for k in dice} == dice
    assert found["dice"]["skipped"] == found["hd95"]["skipped"] == [5]
    assert found["dice"]["mean"] == np.mean(list(dice.values()))
    assert found["dice"]["mean_without_background"] == np.mean([dice[1], dice[2]])
    distances = metrics.hd95(fixed, warped, labels=[0, 1, 2], spacing=spacing)
    assert found["hd95"]["mean_mm"] == np.mean(list(distances.values()))
    assert found["hd95"]["vanished"] == []
    assert (
        found["tre"]["mean_mm"]
        == metrics.tre_points(disp, points, points + 1, spacing=spacing).mean_mm
    )
    consistency = metrics.inverse_consistency(disp, -disp, mask)
    assert found["inverse_consistency"] == consistency._asdict()


def test_result_is_plain_and_goes_into_json(scene):
    disp, fixed, moving = scene
    found = metrics.evaluate(
        disp,
        fixed_labels=fixed,
        moving_labels=moving,
        inverse=-disp,
        fixed_landmarks=fixed,
        moving_landmarks=moving,
    )
    text = json.dumps(found)
    assert json.loads(text)["tre"]["vanished"] == []
    assert json.loads(text)["dice"]["per_label"]["1"] == found["dice"]["per_label"][1]


def test_takes_objects_that_carry_a_field(scene):
    disp, *_ = scene
    holder = SimpleNamespace(disp=disp)
    assert metrics.evaluate(holder, inverse=SimpleNamespace(disp=-disp)) == metrics.evaluate(
        disp, inverse=-disp
    )


def test_small_grid_has_no_evaluator_roughness():
    found = metrics.evaluate(np.zeros((3, 4, 6, 6), np.float32))
    assert found["smoothness"] == {"sdlogj": 0.0, "sdlogj_evaluator": None}


def test_halves_of_pairs_and_mixtures_are_refused(scene):
    disp, fixed, moving = scene
    points = np.ones((2, 3))
    for arguments, message in [
        ({"fixed_labels": fixed}, "fixed_labels are given without moving_labels"),
        ({"moving_landmarks": points}, "moving_landmarks are given without fixed_landmarks"),
        ({"labels": [1]}, "needs fixed_labels"),
        ({"fixed_landmarks": fixed, "moving_landmarks": points}, "both be points"),
        ({"fixed_labels": fixed[1:], "moving_labels": moving}, "fixed labels has shape"),
        ({"fixed_mask": np.zeros(fixed.shape)}, "fixed mask is empty"),
        ({"spacing": (1, 1, -1)}, "spacing"),
    ]:
        with pytest.raises(InputError, match=message):
            metrics.evaluate(disp, **arguments)


@pytest.fixture
def apart(scene):
    """A field between images on different grids, and their label maps."""
    disp, fixed_labels, _ = scene
    turn = Rotation.from_euler("xyz", [0.1, -0.2, 0.3]).as_matrix()
    affine = np.eye(4)
    affine[:3] = np.column_stack([turn * [1.2, 0.9, 1.0], [4.0, 1.0, -2.0]])
    fixed_grid = Grid(disp.shape[1:], np.diag([1.0, 1.5, 2.0, 1.0]))
    moving_grid = Grid((20, 22, 24), affine)
    moving_labels = np.zeros(moving_grid.shape, np.int32)
    moving_labels[2:15, 4:18, 6:20] = np.random.default_rng(1).integers(1, 4, (13, 14, 14))
    field = DisplacementField(disp, fixed_grid, moving_grid)
    return field, Image(fixed_labels, fixed_grid), Image(moving_labels, moving_grid)


def test_labels_are_sampled_once_where_they_are(apart):
    field, fixed, moving = apart
    index = np.indices(fixed.grid.shape).reshape(3, -1).T
    there = field.fixed_grid.voxel_to_world(index + field.disp.reshape(3, -1).T)
    positions = moving.grid.world_to_voxel(there).T
    inside = (positions >= 0) & (positions <= np.array(moving.grid.shape)[:, None] - 1)
    warped = ndimage.map_coordinates(moving.data, positions, order=0) * inside.all(axis=0)
    warped = warped.reshape(fixed.grid.shape)
    expected = metrics.dice(fixed.data, warped, moving_labels=moving.data)
    distance = metrics.hd95(
        fixed.data, warped, moving_labels=moving.data, spacing=tuple(fixed.grid.spacing)
    )
    assert 0 < expected[1] < 1
    for one in (fixed, fixed.data):
        for other in (moving, moving.data):
            found = metrics.evaluate(field, fixed_labels=one, moving_labels=other)
            np.testing.assert_equal(found["dice"]["per_label"], expected)
            np.testing.assert_equal(found["hd95"]["per_label_mm"], distance)


def test_labels_elsewhere_than_their_images(apart):
    field, fixed, moving = apart
    beside = Grid(fixed.grid.shape, fixed.grid.affine + 3 * np.eye(4, k=3))
    with pytest.raises(GeometryError, match="not on the fixed grid"):
        metrics.evaluate(field, fixed_labels=Image(fixed.data, beside), moving_labels=moving)
    with pytest.raises(InputError, match="moving labels"):
        metrics.evaluate(field, fixed_labels=fixed, moving_labels=moving.data[1:])
