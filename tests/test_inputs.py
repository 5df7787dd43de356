"""Masks, weights, channels and axes of a registration."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from synthetic_heads import SHAPE, error_vox, pair_and_truth

import optreg
from optreg.errors import ConfigError, GeometryError, InputError
from optreg.inputs import read_config, read_inputs
from optreg.kernels import cpu
from optreg.transform import Affine

CENTRE = np.array([24, 20, 24])
DISTANCE = np.sqrt(((np.indices(SHAPE) - CENTRE.reshape(3, 1, 1, 1)) ** 2).sum(axis=0))
LESION = DISTANCE < 8
NOTHING = {
    "init": None,
    "refine": False,
    "fixed_mask": None,
    "moving_mask": None,
    "weights": None,
    "axes": "ijk",
}


@pytest.fixture(scope="module")
def clean(pair):
    return optreg.register(pair[0], pair[1])


def with_lesion(image):
    return np.where(LESION & (image > 0), np.float32(0.4), image)


def on_other_grid(mask):
    """The same mask at twice the resolution."""
    affine = np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] = -0.25
    fine = np.kron(mask, np.ones((2, 2, 2), mask.dtype))
    return optreg.Image(fine, optreg.Grid(fine.shape, affine))


@pytest.mark.parametrize("side", ["fixed", "moving"])
@pytest.mark.parametrize("store", [np.asarray, on_other_grid])
def test_a_masked_lesion_does_not_pull(pair, clean, side, store):
    fixed, moving, _ = pair
    images = {"fixed": fixed, "moving": moving}
    images[side] = with_lesion(images[side])
    around = (DISTANCE < 12) & (fixed > 0) & (moving > 0)
    errors = []
    for masks in ({}, {f"{side}_mask": store((DISTANCE >= 10).astype(np.uint8))}):
        found = optreg.register(images["fixed"], images["moving"], **masks)
        errors.append(error_vox(found.disp, clean.disp, around).mean())
        assert found.quality["folded_voxels"] == found.quality["inverse_folded_voxels"] == 0
    assert errors[1] < 0.7 * errors[0]


def test_what_is_masked_out_does_not_matter_at_all(pair):
    fixed, moving, _ = pair
    mask = (DISTANCE >= 8).astype(np.uint8)
    options = {"fixed_mask": mask, "similarity": "lncc"}
    inner = DISTANCE < 8
    results = [
        optreg.register(np.where(inner, np.float32(value), fixed), moving, **options).disp
        for value in (0.3, 3.0)
    ]
    assert np.array_equal(*results)


def test_mask_of_everything_changes_next_to_nothing(pair, clean):
    fixed, moving, _ = pair
    everything = np.ones(SHAPE, np.uint8)
    found = optreg.register(fixed, moving, fixed_mask=everything, weights=everything)
    assert error_vox(found.disp, clean.disp, fixed > 0).mean() < 0.02


def test_weights_draw_attention(pair):
    fixed, moving, truth = pair
    here = (np.indices(SHAPE)[0] < 24) & (fixed > 0)
    errors = []
    for low in (1.0, 0.01):
        weights = np.where(here, 1.0, low)
        found = optreg.register(fixed, moving, weights=weights)
        errors.append(error_vox(found.disp, truth, fixed > 0)[~here[fixed > 0]].mean())
    # What hardly counts is found less well.
    assert errors[1] > 1.1 * errors[0]
    scaled = optreg.register(fixed, moving, weights=4 * weights)
    assert np.array_equal(scaled.disp, found.disp)


def test_a_cut_field_of_view_is_no_border_of_the_object(pair):
    fixed, moving, truth = pair
    affine = np.eye(4)
    affine[1, 3] = 20
    cut = optreg.Image(moving[:, 20:], optreg.Grid((48, 36, 44), affine))
    found = optreg.register(optreg.Image(fixed, optreg.Grid(SHAPE, np.eye(4))), cut)
    whole = np.where(np.arange(56)[:, None] < 20, np.float32(0), moving)
    believed = optreg.register(fixed, whole)
    near = (fixed > 0) & (np.indices(SHAPE)[1] >= 20) & (np.indices(SHAPE)[1] < 26)
    errors = [error_vox(r.disp, truth, near).mean() for r in (found, believed)]
    assert errors[0] < 0.8 * errors[1]


def test_channels_see_what_one_does_not(pair):
    fixed, moving, truth = pair
    left = np.indices(SHAPE)[0] < 24
    halves = [
        [np.where(side & (image > 0), np.float32(1), image) for side in (left, ~left)]
        for image in (fixed, moving)
    ]
    inside = fixed > 0
    together = optreg.register(*halves)
    alone = optreg.register(halves[0][0], halves[1][0])
    errors = [error_vox(r.disp, truth, inside).mean() for r in (together, alone)]
    assert errors[0] < 0.8 * errors[1]
    assert together.disp.shape == (3, *SHAPE) and together.moving.shape == SHAPE
    inverted = np.where(halves[1][1] > 0, 4.2 - halves[1][1], 0).astype(np.float32)
    mixed = optreg.register(halves[0], [halves[1][0], inverted])
    assert mixed.similarity == "lncc+tissue"
    assert error_vox(mixed.disp, truth, inside).mean() < errors[1]


def test_equal_channels_are_as_one(pair, clean):
    twice = optreg.register([pair[0]] * 2, [pair[1]] * 2)
    assert np.abs(twice.disp - clean.disp).max() < 1e-2


@pytest.mark.parametrize("search", ["auto", "on"])
def test_deformation_along_one_axis(head, search):
    fixed, moving, truth = pair_and_truth(head, axes=(1,))
    config = optreg.RegistrationConfig.from_dict({"discrete": {"enabled": search, "radius": 2}})
    found = optreg.register(fixed, moving, config=config, axes="j")
    for field in (found.disp, found.inverse):
        assert not field[[0, 2]].any() and field[1].any()
    inside = fixed > 0
    free = optreg.register(fixed, moving, config=config)
    restricted, unrestricted = (error_vox(r.disp, truth, inside).mean() for r in (found, free))
    assert restricted < unrestricted < error_vox(0 * truth, truth, inside).mean()
    assert found.quality["folded_voxels"] == found.quality["inverse_folded_voxels"] == 0
    assert found.quality["inverse_consistency_mean_vox"] < 0.1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"axes": "xy"}, ConfigError, "i, j, k"),
        ({"axes": ""}, ConfigError, "i, j, k"),
        ({"refine": True}, ConfigError, "give init"),
        ({"fixed_mask": np.zeros(SHAPE)}, InputError, "fixed_mask: is empty"),
        ({"moving_mask": np.full(SHAPE, np.nan)}, InputError, "moving_mask: holds NaN"),
        ({"moving_mask": np.ones((4, 5, 6))}, GeometryError, "moving_mask: .*do not fit"),
        ({"weights": np.zeros(SHAPE)}, InputError, "weights: from 0 to 0"),
        ({"weights": np.indices(SHAPE)[0] - 3.0}, InputError, "weights: from -3 to"),
        ({"weights": np.ones(SHAPE, complex)}, InputError, "weights: dtype complex"),
    ],
)
def test_bad_inputs(pair, change, error, message):
    with pytest.raises(error, match=message):
        read_inputs(pair[0], pair[1], **{**NOTHING, **change})


def test_channels_need_counterparts(pair):
    with pytest.raises(ConfigError, match="2 fixed and 1 moving"):
        read_inputs([pair[0]] * 2, pair[1], **NOTHING)
    with pytest.raises(InputError, match="fixed: no image"):
        read_inputs([], [], **NOTHING)


def test_start_that_is_neither_a_file_nor_a_model(pair):
    with pytest.raises(InputError, match=r"afine: no such file, and none of .*affine"):
        optreg.register(pair[0], pair[1], init="afine")


def test_voxels_that_leave_the_grid_have_no_inverse_to_be_judged(pair):
    fixed, moving = np.roll(pair[0], 4, axis=0), np.zeros(SHAPE, np.float32)
    moving[12:] = pair[1][:-12]  # cut off by the grid
    start = np.zeros((3, *SHAPE), np.float32)
    start[0] = 8
    searched = optreg.RegistrationConfig.from_dict({"discrete": {"enabled": "on"}})
    found = optreg.register(fixed, moving, init=start, config=searched)
    back = cpu.compose(found.inverse, found.disp)
    error = np.sqrt((back**2).sum(axis=0))[fixed > 0]
    leaving = (found.disp[0] + np.arange(SHAPE[0])[:, None, None])[fixed > 0] > SHAPE[0] - 0.5
    assert leaving.sum() > 100 and np.percentile(error, 99) > 1
    judged = found.quality["inverse_consistency_p99_vox"]
    assert judged == pytest.approx(np.percentile(error[~leaving], 99), rel=1e-3) and judged < 0.5


def test_mask_that_is_no_mask_is_said(pair, caplog):
    inputs = read_inputs(pair[0], pair[1], **{**NOTHING, "fixed_mask": 7 * (pair[0] > 0)})
    assert inputs.fixed_mask.data.max() == 1
    assert "not of zeros and ones" in caplog.text


@pytest.mark.parametrize("role", ["fixed_mask", "moving_mask"])
@pytest.mark.parametrize("background", [0, -1000])
def test_mask_without_foreground(pair, role, background):
    fixed, moving = (image + background * (image == 0) for image in pair[:2])
    corner = np.zeros(SHAPE, np.uint8)
    corner[:3, :3, :3] = 1
    with pytest.raises(InputError, match=f"{role}: covers no foreground"):
        optreg.register(fixed, moving, init=None, **{role: corner})


def test_mask_of_which_coarse_levels_know_nothing(pair):
    fixed, moving, truth = pair
    mask = np.zeros(SHAPE, np.uint8)
    mask[20:23] = 1
    found = optreg.register(fixed, moving, fixed_mask=mask)
    assert found.status.name == "CONVERGED"
    inside = (mask > 0) & (fixed > 0)
    after, before = (error_vox(d, truth, inside).mean() for d in (found.disp, 0 * truth))
    assert after < 0.7 * before


def test_refinement_along_one_axis_keeps_the_start(head):
    fixed, moving, truth = pair_and_truth(head, axes=(1,))
    start = np.zeros((3, *SHAPE), np.float32)
    start[0] = 3
    options = {"init": start, "refine": True, "axes": "j"}
    found = optreg.register(fixed, np.roll(moving, 3, axis=0), **options)
    inside = fixed > 0
    assert np.abs(found.disp[0][inside] - 3).max() < 0.01
    expected = error_vox(start + truth, start, inside).mean()
    assert error_vox(found.disp, start + truth, inside).mean() < 0.7 * expected


def test_images_that_are_masks(pair):
    as_bool, as_bytes = (
        optreg.register(*((image > 1.5).astype(dtype) for image in pair[:2]), preset="fast")
        for dtype in (bool, np.uint8)
    )
    assert np.array_equal(as_bool.disp, as_bytes.disp) and as_bool.disp.any()


def test_flat_mask_of_a_flat_image(pair):
    fixed, moving = (image[:, :, 22].copy() for image in pair[:2])
    mask = np.ones(fixed.shape, np.uint8)
    mask[:12] = 0
    flat = optreg.register(fixed, moving, preset="fast", fixed_mask=mask)
    solid = optreg.register(fixed, moving, preset="fast", fixed_mask=mask[:, :, None])
    assert np.array_equal(flat.disp, solid.disp)
    assert not np.array_equal(flat.disp, optreg.register(fixed, moving, preset="fast").disp)


class OnDisk:
    """What has an array and is none, as a dataset of HDF5."""

    def __init__(self, data):
        self._data = data

    def __array__(self, dtype=None, copy=None):
        return self._data


@pytest.mark.parametrize("role", ["fixed_mask", "moving_mask", "weights"])
@pytest.mark.parametrize("store", [np.ndarray.tolist, OnDisk, memoryview])
def test_whatever_is_an_array_lies_on_the_grid_of_its_image(pair, role, store):
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -90, 40, 7
    images = [optreg.Image(image, optreg.Grid(SHAPE, affine)) for image in pair[:2]]
    mask = (DISTANCE >= 8).astype(np.uint8)
    found = getattr(read_inputs(*images, **{**NOTHING, role: store(mask)}), role)
    assert found.grid is images[0].grid or found.grid is images[1].grid
    assert np.array_equal(found.data, mask)


def test_images_of_other_libraries_are_named(pair):
    other = nib.Nifti1Image(pair[0], np.eye(4))
    for fixed, mask, role in ((other, None, "fixed"), (pair[0], other, "fixed_mask")):
        with pytest.raises(InputError, match=f"{role}: nibabel.nifti1.Nifti1Image cannot be used"):
            read_inputs(fixed, pair[1], **{**NOTHING, "fixed_mask": mask})


def test_start_of_none_is_no_file(pair):
    assert read_inputs(pair[0], pair[1], **{**NOTHING, "init": "none"}).init is None
    with pytest.raises(ConfigError, match="give init"):
        read_inputs(pair[0], pair[1], **{**NOTHING, "init": "none", "refine": True})


@pytest.mark.parametrize(
    ("init", "message"),
    [
        (np.eye(4), r"init: is a 4x4 matrix; give optreg.transform.Affine\(matrix\)"),
        (np.zeros((*SHAPE, 3)), r"init: has shape .* 3\); .*numpy.moveaxis\(init, 3, 0\)"),
        (object(), "init: object cannot be used as it is; give a path, an optreg.Displacement"),
    ],
)
def test_starts_that_are_nearly_right_are_told_what_to_be(pair, init, message):
    with pytest.raises(InputError, match=message):
        read_inputs(pair[0], pair[1], **{**NOTHING, "init": init})


def test_starts_that_are_right_stay_as_they_are(pair):
    for init in ("affine", Affine.identity(), np.zeros((3, *SHAPE))):
        assert read_inputs(pair[0], pair[1], **{**NOTHING, "init": init}).init is init


def test_configuration_is_an_object_or_a_file(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('preset = "fast"\n[repair]\nmax_rounds = 9\n')
    for given in (path, str(path)):
        found = read_config(given, "default", "mind")
        assert found.repair.max_rounds == 9 and found.similarity == "mind"
        assert found.continuous == optreg.RegistrationConfig.preset("fast").continuous
    assert read_config(found, "fast", None) is found
    assert read_config(None, "fast", None) is optreg.RegistrationConfig.preset("fast")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"similarity": "mind"}, r"config: is a dict; .*RegistrationConfig\.from_dict.*from_toml"),
        ("fast", "'fast' is a preset; give preset='fast'"),
        ("missing.toml", r"missing\.toml: cannot be read"),
    ],
)
def test_what_is_no_configuration(pair, config, message):
    with pytest.raises(ConfigError, match=message):
        optreg.register(pair[0], pair[1], config=config)
