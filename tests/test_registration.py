"""The whole pipeline on small synthetic heads with a known deformation."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation
from synthetic_heads import SHAPE, error_vox, smooth_noise

import optreg
from optreg.config import RegistrationConfig
from optreg.errors import ConfigError, DeviceError, GeometryError, InputError
from optreg.kernels import cpu
from optreg.result import Status

SMALL = replace(
    RegistrationConfig(),
    continuous=replace(RegistrationConfig().continuous, iterations=(40, 40, 12)),
)


@pytest.fixture(scope="module")
def result(pair):
    return optreg.register(pair[0], pair[1], config=SMALL)


def test_known_deformation_is_recovered(pair, result):
    fixed, _, truth = pair
    before = error_vox(0 * truth, truth, fixed > 0).mean()
    after = error_vox(result.disp, truth, fixed > 0).mean()
    assert before > 0.7
    assert after < 0.55 * before
    assert result.status is Status.CONVERGED
    assert result.similarity == "lncc"


def test_exported_fields_do_not_fold(result):
    for field in (result.disp, result.inverse):
        assert field.dtype == np.float32 and field.shape == (3, *SHAPE)
        assert cpu.minimum_determinant(field).min() > 0
        assert cpu.folding_sums(field).folded_voxels == 0
    assert result.quality["ndv_percent"] == 0


def test_inverse_is_the_inverse(pair, result):
    error = np.abs(cpu.compose(result.inverse, result.disp))[:, pair[0] > 0]
    assert error.mean() < 0.05
    assert result.quality["inverse_consistency_mean_vox"] < 0.05


def test_loss_falls_and_is_recorded(result):
    for level in (4, 2, 1):
        losses = [h["loss"] for h in result.history if h["level"] == level]
        assert len(losses) in (40, 12)
        assert losses[-1] < losses[0]
    assert result.timings["total"] > result.timings["refine"] > 0


def test_swapping_the_images_gives_the_inverse(pair, result):
    mask = pair[0] > 0
    back = optreg.register(pair[1], pair[0], config=SMALL)
    assert np.abs(back.inverse - result.disp)[:, mask].mean() < 0.15
    # The finest level prefers the fixed image; without that there is no preference at all.
    to_midpoint = replace(SMALL.continuous, one_sided_finest=False)
    both = replace(SMALL, continuous=to_midpoint)
    there = optreg.register(pair[0], pair[1], config=both)
    back = optreg.register(pair[1], pair[0], config=both)
    assert np.abs(back.inverse - there.disp)[:, mask].mean() < 0.01


def test_reruns_are_bit_equal_for_any_thread_count(pair, result):
    again = optreg.register(pair[0], pair[1], config=SMALL, threads=1)
    assert np.array_equal(again.disp, result.disp)
    assert np.array_equal(again.inverse, result.inverse)


@pytest.mark.parametrize("factor", [0.25, 1024.0])
def test_intensity_scaling_changes_nothing(pair, result, factor):
    scaled = optreg.register(pair[0] * np.float32(factor), pair[1], config=SMALL)
    assert np.abs(scaled.disp - result.disp).max() < 1e-3


@pytest.mark.parametrize(
    ("preset", "mean", "largest"), [("default", 0.02, 0.25), ("fast", 0.02, 0.25)]
)
def test_identical_images_give_zero(pair, preset, mean, largest):
    same = optreg.register(pair[0], pair[0], preset=preset)
    assert np.abs(same.disp).mean() < mean
    assert np.abs(same.disp).max() < largest


@pytest.mark.parametrize("similarity", ["tissue", "mind"])
def test_other_contrast(pair, similarity):
    fixed, moving, truth = pair
    inverted = np.where(moving > 0, 4.2 - moving, 0).astype(np.float32)
    settings = SMALL
    if similarity == "tissue":  # and it is what "auto" takes
        found = optreg.register(fixed, inverted, config=settings)
        assert found.similarity == "tissue"
    else:
        found = optreg.register(fixed, inverted, config=settings, similarity=similarity)
    before = error_vox(0 * truth, truth, fixed > 0).mean()
    assert error_vox(found.disp, truth, fixed > 0).mean() < 0.9 * before
    assert found.quality["folded_voxels"] == 0


def test_init_is_refined(pair):
    fixed, moving, truth = pair
    started = optreg.register(fixed, moving, config=SMALL, init=truth)
    assert error_vox(started.disp, truth, fixed > 0).mean() < 0.35
    shifted = np.roll(moving, 9, axis=0)
    from_moments = optreg.register(fixed, shifted, config=SMALL, init="moments")
    truth_shifted = truth + np.array([9, 0, 0], np.float32).reshape(3, 1, 1, 1)
    assert error_vox(from_moments.disp, truth_shifted, fixed > 0).mean() < 0.5
    assert from_moments.quality["inverse_consistency_mean_vox"] < 0.1


@pytest.mark.parametrize("model", ["affine", "rigid"])
def test_init_aligns_what_lies_elsewhere(pair, model):
    """The moving image is turned by 15 degrees and put 30 mm away, beyond the fixed grid."""
    fixed, moving, truth = pair
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec(np.deg2rad([10, -8, 8])).as_matrix()
    motion[:3, 3] = 25, -12, 11
    away = optreg.Image(moving, optreg.Grid(SHAPE, motion))
    found = optreg.register(fixed, away, config=SMALL, init=model)
    assert found.quality["folded_voxels"] == found.quality["inverse_folded_voxels"] == 0
    # Both in voxels of the array that holds the moving image.
    points = np.argwhere(fixed > 0)
    error = found.transform.to_points(points) - (points + truth[(slice(None), *points.T)].T)
    near = optreg.register(fixed, moving, config=SMALL)
    aligned = error_vox(near.disp, truth, fixed > 0).mean()
    assert np.linalg.norm(error, axis=1).mean() < aligned + 0.1


def test_discrete_search_extends_the_capture_range(pair):
    fixed, moving, truth = (np.pad(v, [(0, 0)] * (v.ndim - 2) + [(40, 40), (0, 0)]) for v in pair)
    shift = 40
    shifted = np.roll(moving, shift, axis=1)
    truth_shifted = truth + np.array([0, shift, 0], np.float32).reshape(3, 1, 1, 1)
    found = {}
    for enabled in ("on", "off"):
        search = replace(SMALL.discrete, enabled=enabled, radius=11)
        config = replace(SMALL, discrete=search)
        run = optreg.register(fixed, shifted, config=config, init=None)
        found[enabled] = error_vox(run.disp, truth_shifted, fixed > 0).mean()
        assert run.quality["folded_voxels"] == 0
    assert found["on"] < 1.0 < found["off"]


def test_save(result, tmp_path):
    result.save(tmp_path / "out")
    kept = json.loads((tmp_path / "out" / "result.json").read_text())
    assert kept["status"] == "converged" and kept["quality"]["ndv_percent"] == 0
    assert RegistrationConfig.from_toml(tmp_path / "out" / "config.toml") == SMALL
    from optreg.io import read_field

    assert np.array_equal(read_field(tmp_path / "out" / "disp.nii.gz").disp, result.disp)
    with pytest.raises(optreg.errors.OutputError):
        result.save(tmp_path / "out")
    result.save(tmp_path / "out", overwrite=True)


def test_warped_image_ends_in_its_background(pair):
    fixed, moving = (1000 * (image - 1) for image in pair[:2])  # as CT has it
    cut = optreg.Image(moving[:, :, :-6].copy(), optreg.Grid.identity((48, 56, 38)))
    found = optreg.register(fixed, cut, preset="fast")
    assert (found.warped[:, :, -5:] == -1000).all()
    assert found.warped.max() > 0


@pytest.mark.parametrize("levels", [4, 5])
def test_more_levels_than_the_images_have_room_for(pair, levels):
    usual = vars(RegistrationConfig().continuous)
    more = {k: [v[0]] * (levels - 3) + list(v) for k, v in usual.items() if isinstance(v, tuple)}
    config = RegistrationConfig.from_dict({"continuous": more | {"iterations": [4] * levels}})
    fixed, moving = (image[20:28, 20:28, 20:28].copy() for image in pair[:2])
    found = optreg.register(fixed, moving, config=config, init=None)
    assert found.status.name == "CONVERGED" and np.isfinite(found.disp).all()
    assert found.quality["folded_voxels"] == 0


def test_progress_ends_at_one(pair):
    seen = []
    optreg.register(pair[0], pair[1], preset="fast", progress=lambda s, f: seen.append((s, f)))
    fractions = [f for _, f in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert {s for s, _ in seen} >= {"preprocess", "refine", "finish"}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda a: np.where(a > 1, np.nan, a), InputError, "NaN"),
        (lambda a: 0 * a, InputError, "no foreground"),
        (lambda a: 0 * a + 3, InputError, "constant"),
        (lambda a: a[:, :, :5], InputError, "at least 8"),
        (lambda a: a[24], GeometryError, "single slice"),
        (lambda a: a.astype(complex), InputError, "complex"),
    ],
)
def test_bad_images(pair, change, error, message):
    with pytest.raises(error, match=message):
        optreg.register(pair[0], change(pair[1]))


def test_bad_arguments(pair):
    fixed, moving, _ = pair
    with pytest.raises(ConfigError, match="preset"):
        optreg.register(fixed, moving, preset="best")
    with pytest.raises(ConfigError, match="similarity"):
        optreg.register(fixed, moving, similarity="ncc")
    with pytest.raises(ConfigError, match="threads"):
        optreg.register(fixed, moving, threads=0)
    with pytest.raises(DeviceError, match="cuda"):
        optreg.register(fixed, moving, device="cuda")
    far = np.eye(4)
    far[0, 3] = 1000
    away = optreg.Image(moving, optreg.Grid(SHAPE, far))
    with pytest.raises(GeometryError, match="overlap"):
        optreg.register(optreg.Image(fixed, optreg.Grid(SHAPE, np.eye(4))), away)


def test_a_field_that_is_nearly_right_is_refined(pair, result):
    fixed, moving, truth = pair
    inside = fixed > 0
    nearly = truth + (2 * smooth_noise(8, 5, 3)).astype(np.float32)
    refined = optreg.register(fixed, moving, config=SMALL, init=nearly, refine=True)
    before = error_vox(nearly, truth, inside).mean()
    after = error_vox(refined.disp, truth, inside).mean()
    # As good as one from scratch that had all levels.
    from_scratch = error_vox(result.disp, truth, inside).mean()
    assert after < 0.65 * before and after < 1.08 * from_scratch
    assert refined.quality["folded_voxels"] == refined.quality["inverse_folded_voxels"] == 0
    assert refined.quality["inverse_consistency_mean_vox"] < 0.1
    assert {h["level"] for h in refined.history} == {1}
    assert len(refined.history) == refined.config.continuous.iterations[0] == 12


def test_a_field_that_folds_is_freed_of_it(pair):
    fixed, moving, truth = pair
    rng = np.random.default_rng(4)
    rough = truth + ndimage.gaussian_filter(rng.standard_normal(truth.shape), (0, 1, 1, 1)) * 6
    rough = rough.astype(np.float32)
    assert (cpu.minimum_determinant(rough) <= 0).mean() > 0.02
    refined = optreg.register(fixed, moving, config=SMALL, init=rough, refine=True)
    for field in (refined.disp, refined.inverse):
        assert cpu.minimum_determinant(field).min() > 0
    inside = fixed > 0
    assert error_vox(refined.disp, truth, inside).mean() < error_vox(rough, truth, inside).mean()


def test_refinement_works_at_half_resolution_too(pair):
    fixed, moving, truth = pair
    config = replace(SMALL, continuous=replace(SMALL.continuous, finest=2))
    refined = optreg.register(fixed, moving, config=config, init=truth, refine=True)
    assert error_vox(refined.disp, truth, fixed > 0).mean() < 0.3


def test_refinement_needs_a_start(pair):
    with pytest.raises(ConfigError, match="give init"):
        optreg.register(pair[0], pair[1], refine=True)


def test_similarities_are_of_more_than_one_iteration(pair, result):
    losses = [h["loss"] for h in result.history if h["level"] == 1]
    kept = [result.quality[f"similarity_{when}"] for when in ("before", "after")]
    assert kept == [-losses[0], -losses[-1]] and kept[0] < kept[1]
    fast = optreg.register(pair[0], pair[1], preset="fast")  # one iteration there
    assert not [key for key in fast.quality if key.startswith("similarity")]


def test_a_result_shows_itself_in_short(result):
    shown = repr(result)
    assert len(shown) < 300 and "\n" not in shown
    for what in ("fixed='fixed' (48, 56, 44)", "moving='moving'", "'lncc'", "'cpu'", "CONVERGED"):
        assert what in shown


def test_no_alignment_can_be_asked_for_by_name(pair):
    by_name, plain = (
        optreg.register(pair[0], pair[1], preset="fast", init=init) for init in ("none", None)
    )
    assert np.array_equal(by_name.disp, plain.disp)
