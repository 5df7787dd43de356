"""Alignments that are found: what the deformation of coarse images makes of them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic_heads import SHAPE

import optreg
import optreg.start
from optreg.affine import align, fit_linear
from optreg.errors import GeometryError
from optreg.inputs import read_inputs
from optreg.io.fields import write_transform
from optreg.kernels import get_backend
from optreg.result import Status
from optreg.transform import Affine

MOTION = np.eye(4)
MOTION[:3, :3] = Rotation.from_rotvec(np.deg2rad([10, -8, 8])).as_matrix()
MOTION[:3, 3] = 25, -12, 11
OTHERS = {"fixed_mask": None, "moving_mask": None, "weights": None, "axes": "ijk"}


def start_of(fixed, moving, init, **given):
    inputs = read_inputs(fixed, moving, init=init, refine=False, **OTHERS | given)
    return optreg.start.find_start(inputs, "auto", get_backend("cpu"))


@pytest.fixture(scope="module")
def images(pair):
    """Fixed image and, in another contrast and place, the moving one."""
    fixed, moving, _ = pair
    inverted = np.where(moving > 0, 4.2 - moving, 0).astype(np.float32)
    return (
        optreg.Image(fixed, optreg.Grid.identity(SHAPE), "fixed"),
        optreg.Image(inverted, optreg.Grid(SHAPE, MOTION), "moving"),
    )


def matrix_of(field):
    """The linear map that a field is."""
    index = np.argwhere(np.ones(SHAPE))[::50]
    there = index + field.disp[(slice(None), *index.T)].T
    return np.linalg.lstsq(np.c_[index, np.ones(len(index))], there, rcond=None)[0].T


@pytest.mark.parametrize(("model", "part", "most_mm"), [("affine", 0.7, 0.3), ("rigid", 0.5, 0.15)])
def test_lies_closer_to_the_linear_part_of_the_truth(pair, images, model, part, most_mm):
    fixed, _, truth = pair
    points = np.argwhere(fixed > 0)
    moved = optreg.Grid(SHAPE, MOTION).voxel_to_world(points + truth[(slice(None), *points.T)].T)
    wanted = fit_linear(points.astype(float), moved, model, 0.5)

    def apart_mm(matrix):
        error = points @ (matrix[:3, :3] - wanted[:3, :3]).T + matrix[:3, 3] - wanted[:3, 3]
        return np.linalg.norm(error, axis=1).mean()

    alone = align(*images, model=model).matrix
    found = matrix_of(start_of(*images, model))
    assert apart_mm(found) < part * apart_mm(alone) and apart_mm(found) < most_mm
    if model == "rigid":
        np.testing.assert_allclose(found[:, :3] @ found[:, :3].T, np.eye(3), atol=1e-5)


@pytest.mark.parametrize("model", ["moments", "sitk-rigid"])
def test_others_are_what_they_are(images, model):
    alone = align(*images, model=model).matrix
    np.testing.assert_allclose(matrix_of(start_of(*images, model)), alone[:3], atol=1e-4)


@pytest.mark.parametrize("model", ["affine", "rigid", "similarity"])
@pytest.mark.parametrize("part", [np.s_[10:30, 8:24, 15], np.s_[20:22, 15, 15], np.s_[20, 15, 15]])
def test_too_little_to_deform(model, part):
    data = np.zeros((40, 32, 32), np.float32)
    data[part] = np.random.default_rng(0).uniform(0.5, 1, data[part].shape)
    grid, moved = optreg.Grid.identity(data.shape), np.roll(data, 2, axis=0)
    images = optreg.Image(data, grid, "fixed"), optreg.Image(moved, grid, "moving")
    alone = align(*images, model=model)
    found = start_of(*images, model)
    np.testing.assert_allclose(found.disp, alone.to_displacement(grid).disp, atol=1e-5)


def test_deformation_that_goes_astray_changes_nothing(images, monkeypatch):
    astray = SimpleNamespace(status=Status.DIVERGED)
    monkeypatch.setattr(optreg.start, "register_volumes", lambda *args: astray)
    alone = align(*images, model="rigid").matrix
    np.testing.assert_allclose(matrix_of(start_of(*images, "rigid")), alone[:3], atol=1e-4)


def test_every_channel_and_the_masks_take_part(images, monkeypatch):
    seen = []

    def stop(inputs, config, backend):
        seen.append((inputs, config))
        return SimpleNamespace(status=Status.DIVERGED)

    monkeypatch.setattr(optreg.start, "register_volumes", stop)
    mask = np.ones(SHAPE, np.uint8)
    start_of([images[0]] * 2, [images[1]] * 2, "rigid", fixed_mask=mask)
    inputs, config = seen[0]
    assert len(inputs.fixed) == len(inputs.moving) == 2 and inputs.fixed_mask is not None
    assert np.ptp(inputs.fixed[0].grid.spacing) < 1e-9 and config.similarity == "auto"
    assert inputs.start.fixed_grid.same_as(inputs.fixed[0].grid)


def test_images_that_lie_apart_are_aligned(images, caplog):
    found = matrix_of(start_of(*images, "auto"))
    np.testing.assert_array_equal(found, matrix_of(start_of(*images, "affine")))
    assert "moving: lies apart from fixed and is aligned first (init affine)" in caplog.text


def test_alignment_is_found_alike_for_what_goes_on_from_it(images):
    plain = start_of(*images, "rigid")
    inputs = read_inputs(*images, init="rigid", refine=True, **OTHERS)
    found = optreg.start.find_start(inputs, "auto", get_backend("cpu"))
    assert np.array_equal(found.disp, plain.disp)
    result = optreg.register(*images, init="rigid", refine=True)
    assert result.quality["folded_voxels"] == 0
    assert 0.05 < np.abs(result.disp - plain.disp).mean() < 3


def test_images_in_place_stay_where_they_are(pair):
    assert start_of(*pair[:2], "auto") is None


def test_headers_can_be_trusted_in_any_case(images):
    assert start_of(*images, None) is None


def test_nothing_is_aligned_where_only_some_axes_may_move(images):
    assert start_of(*images, "auto", axes="ij") is None


def test_slices_are_not_aligned(images):
    fixed, moving = (np.ascontiguousarray(image.data[:, :, 20:21]) for image in images)
    assert start_of(fixed, np.roll(moving, 6, axis=0), "auto") is None


def test_worlds_that_do_not_meet_are_not_brought_together(images):
    fixed, moving = images
    far = MOTION.copy()
    far[0, 3] += 500
    with pytest.raises(GeometryError, match="fields of view do not overlap"):
        start_of(fixed, optreg.Image(moving.data, optreg.Grid(SHAPE, far)), "auto")


@pytest.mark.parametrize("format", ["l2r", "itk", "fsl"])
def test_file_of_any_format_is_the_same_start(pair, format, tmp_path):
    # The moving image is mirrored, turned and cut; a warp of FSL is in its voxels.
    mirrored = MOTION @ np.diag([-1.0, 1.2, 0.9, 1])
    fixed = optreg.Image(pair[0], optreg.Grid.identity(SHAPE), "fixed")
    moving = optreg.Image(pair[1][4:], optreg.Grid(pair[1][4:].shape, mirrored), "moving")
    field = optreg.DisplacementField(pair[2], fixed.grid, moving.grid)
    path = write_transform(tmp_path / "f.nii.gz", field, format=format)
    found = start_of(fixed, moving, path)
    assert found.fixed_grid.same_as(fixed.grid)
    np.testing.assert_allclose(found.disp, pair[2], atol=1e-3)


@pytest.mark.parametrize("kind", ["affine", "field"])
def test_start_that_mirrors_is_refused(images, kind):
    mirror = Affine(np.diag([-1.0, 1, 1, 1]) + 40 * np.eye(4, k=3))
    init = mirror if kind == "affine" else mirror.to_displacement(images[0].grid).disp
    with pytest.raises(GeometryError, match="init mirrors the image"):
        start_of(*images, init)
