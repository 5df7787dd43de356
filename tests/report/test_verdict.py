"""What is said of a registration whose truth nobody knows."""

from dataclasses import replace

import numpy as np
import pytest

import optreg
from optreg.image import Image
from optreg.report.verdict import judge_result, plausibility_of

GOOD = {"folded_voxels": 0.0, "sdlogj": 0.3, "inverse_consistency_p99_vox": 0.1}


@pytest.fixture(scope="module")
def result(pair):
    fixed, moving, _ = pair
    found = optreg.register(fixed, moving, preset="fast", device="cpu", init=None)
    return replace(found, quality=GOOD)


def test_good_result_is_called_so(result):
    verdict = judge_result(result, (0.2, 0.1))
    assert verdict.level == "good" and verdict.reasons == ()
    assert "no voxel folds" in verdict.headline
    assert verdict.numbers["badness"] == verdict.plausibility.badness < 0.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"folded_voxels": 12}, "12 voxels fold"),
        ({"inverse_consistency_p99_vox": 4.0}, "inverse misses by 4.0 voxels"),
        ({"inverse_folded_voxels": 3.0}, "3 voxels fold"),
        ({"sdlogj": 2.0}, "rough"),
    ],
)
def test_what_is_wrong_with_the_field_is_said(change, words, result):
    verdict = judge_result(replace(result, quality=GOOD | change), (0.2, 0.1))
    assert verdict.level == "attention" and words in verdict.headline


def test_what_got_worse_is_said(result):
    verdict = judge_result(result, (0.1, 0.2))
    assert verdict.level == "attention" and "no better" in verdict.headline
    now, then = ({"dice": {"mean_without_background": value}} for value in (0.4, 0.5))
    verdict = judge_result(replace(result, quality=GOOD | {"sdlogj": 2}), (0.2, 0.1), now, then)
    assert "rough" in verdict.headline and verdict.reasons == (
        "The labels overlap less than before.",
    )


def test_divergence_is_a_problem(result):
    diverged = replace(result, status=type(result.status)["DIVERGED"])
    assert judge_result(diverged, (0.2, 0.1)).level == "problem"
    broken = result.disp.copy()
    broken[0, 3, 3, 3] = np.nan
    assert judge_result(replace(result, disp=broken), (0.2, 0.1)).level == "problem"


def test_roughness_is_that_of_the_determinants(result):
    """At the scale of a small image, which is its own, against finite differences of NumPy."""
    found = plausibility_of(result)
    gradient = np.stack([np.stack(np.gradient(u)) for u in result.disp.astype(float)])
    matrix = np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(3)
    inside = result.fixed.data > 0
    inside[[0, -1]] = inside[:, [0, -1]] = inside[:, :, [0, -1]] = False
    expected = np.log(np.linalg.det(matrix))[inside].std()
    assert found.roughness == pytest.approx(expected, rel=0.1)
    assert found.overlap > 0.9 and 0.5 < found.similarity <= 1


def test_numbers_do_not_depend_on_the_voxels(result):
    """The same images and field with twice as many voxels along each axis."""

    def fine(volume):
        for axis in (-3, -2, -1):
            volume = np.repeat(volume, 3, axis=axis)
        return volume

    grid = optreg.Grid(tuple(3 * n for n in result.fixed.shape), np.diag([1, 1, 1, 1]))
    images = (Image(fine(i.data), grid) for i in (result.fixed, result.moving))
    larger = replace(result, disp=3 * fine(result.disp), fixed=next(images), moving=next(images))
    found, expected = plausibility_of(larger), plausibility_of(result)
    assert found.roughness == pytest.approx(expected.roughness, rel=0.2)
    assert found.similarity == pytest.approx(expected.similarity, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["fast", "default"])
@pytest.mark.parametrize(
    ("what", "level"),
    [("as it is", "good"), ("front to back", "attention"), ("upside down", "attention")],
)
def test_real_heads(what, level, preset, data_dir):
    """A brain that is turned in its file gets no green light, though it is made to fit."""
    thin = (slice(None, None, 2),) * 3
    fixed, moving = (
        optreg.io.load_image(data_dir / "imagesVal" / f"OASIS_{n}_0000.nii.gz")
        for n in ("1001", "1000")
    )
    grid = fixed.grid.crop(thin)
    turn = {"as it is": (), "front to back": 1, "upside down": 2}[what]
    images = (
        Image(np.ascontiguousarray(data[thin]), grid)
        for data in (fixed.data, np.flip(moving.data, turn))
    )
    result = optreg.register(*images, preset=preset, init=None, device="cpu")
    verdict = judge_result(result)
    assert verdict.level == level, verdict
    if level == "attention":
        assert "--init affine" in verdict.headline
