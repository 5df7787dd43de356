"""Label maps, masks, landmarks and fields with faults, through Python and at the terminal."""

from __future__ import annotations

import json

import numpy as np
import pytest

import optreg
from optreg.errors import InputError
from optreg.grid import Grid
from optreg.io import read_field, save_image, write_field


@pytest.fixture
def maps(labels, head, tmp_path):
    """Files of both label maps."""
    return [
        save_image(tmp_path / f"{role}_seg.nii.gz", data, head.grid)
        for role, data in zip(("fixed", "moving"), labels, strict=True)
    ]


@pytest.fixture
def field(head, tmp_path):
    """File of a field that moves nothing."""
    return write_field(tmp_path / "disp.nii.gz", np.zeros((3, *head.shape)), head.grid)


# --- label maps --------------------------------------------------------------------------------

BAD_LABELS = {
    "fractions": (lambda data: data + np.float32(0.25) * (data > 1), "hold fractions"),
    "negative": (lambda data: data - 1, "range from -1 to 2; label numbers must be 0 to 1000000"),
    "huge": (lambda data: data.astype("f4") * 1e12, "label numbers must be 0 to 1000000"),
    "huge integers": (lambda data: data.astype("u4") * 2**30, "label numbers must be 0 to"),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_no_label_map(name, labels, pair, maps, nifti, tmp_path, fails):
    change, words = BAD_LABELS[name]
    with pytest.raises(InputError, match=words):
        optreg.evaluate(
            np.zeros((3, *labels[0].shape), np.float32),
            fixed_labels=labels[0],
            moving_labels=change(labels[1]),
        )
    bad = nifti(tmp_path / "bad.nii", change(labels[1]))
    given = {"fixed_labels": maps[0], "moving_labels": bad}
    error = fails(3, "register", **pair, **given, output=tmp_path / "result")
    assert error.startswith(f"error: {bad}: labels ") and words in error
    assert not (tmp_path / "result").exists()


def test_integers_in_floats_are_labels(labels, maps, field, nifti, tmp_path, succeeds):
    paths = [nifti(tmp_path / f"{n}.nii", labels[n].astype(np.float32)) for n in (0, 1)]
    for number, (fixed, moving) in enumerate((maps, paths)):
        given = {"field": field, "fixed_labels": fixed, "moving_labels": moving}
        succeeds("evaluate", "--quiet", **given, output=tmp_path / f"{number}.json")
    scores = [json.loads((tmp_path / f"{n}.json").read_text())["dice"] for n in (0, 1)]
    assert scores[0] == scores[1] and set(scores[0]["per_label"]) == {"0", "1", "2", "3"}


def test_label_that_one_image_lacks_is_skipped_and_counted(
    labels, maps, pair, nifti, tmp_path, succeeds
):
    moving = labels[1]
    without = nifti(tmp_path / "without.nii", np.where(moving == 2, 0, moving).astype(np.int16))
    given = {"fixed_labels": maps[0], "moving_labels": without}
    succeeds("register", "--quiet", **pair, **given, output=tmp_path / "a")
    scores = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert scores["dice"]["skipped"] == scores["hd95"]["skipped"] == [2]
    assert scores["dice"]["per_label"]["2"] is None
    known = [scores["dice"]["per_label"][label] for label in "13"]
    assert scores["dice"]["mean_without_background"] == pytest.approx(np.mean(known))
    assert "Each of 3 labels, 1 more not in both images" in (tmp_path / "a/report.html").read_text()


# --- masks -------------------------------------------------------------------------------------


def test_mask_without_foreground(head, pair, nifti, tmp_path, fails):
    for name, data in (("empty", 0 * head.data), ("outside", head.data == 0)):
        pair["fixed_mask"] = nifti(tmp_path / f"{name}.nii", data.astype(np.uint8))
        error = fails(3, "register", "--no-report", **pair, output=tmp_path / "result")
        assert (
            "mask" in error and str(pair["fixed" if name == "outside" else "fixed_mask"]) in error
        )
        assert not (tmp_path / "result").exists()


def test_mask_of_other_numbers_is_thresholded_and_that_is_said(
    head, deformed, pair, nifti, tmp_path, succeeds
):
    half = (np.indices(head.shape)[1] < 14) * (head.data - 0.5)
    pair["fixed_mask"] = nifti(tmp_path / "mask.nii", half.astype(np.float32))
    said = succeeds("register", "--no-report", **pair, output=tmp_path / "a").err
    assert (
        f"warning: {pair['fixed_mask']}: is not of zeros and ones; what is above 0 counts" in said
    )
    expected = optreg.register(
        head, deformed, preset="fast", device="cpu", fixed_mask=(half > 0).astype(np.uint8)
    )
    np.testing.assert_array_equal(read_field(tmp_path / "a" / "disp.nii.gz").disp, expected.disp)


def test_mask_on_another_grid_is_taken_by_nearest_neighbour(head, deformed):
    coarse = np.zeros((12, 14, 13), np.uint8)
    coarse[:7] = 1
    affine = head.grid.affine @ np.diag([2.0, 2, 2, 1])
    affine[:3, 3] += 0.5
    # Each coarse voxel has eight of the fixed image around its centre.
    fine = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    found, expected = (
        optreg.register(
            head, deformed, preset="fast", device="cpu", fixed_mask=optreg.Image(mask, grid)
        ).disp
        for mask, grid in ((coarse, Grid(coarse.shape, affine)), (fine, head.grid))
    )
    assert np.abs(found - expected).max() < 1e-3


# --- landmarks ---------------------------------------------------------------------------------

HEADER = "name,i_vox,j_vox,k_vox\n"


def points(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER + "A,1,2,3\nB,24.6,2,3\n", "line 3: voxel [24.6, 2.0, 3.0] is outside the image"),
        (HEADER + "A,1,2,3\n", "1 landmarks, "),
        (HEADER + "A,1,2,3\nB,1,2\n", "line 3: 3 cells where 4 are needed"),
        (HEADER + "A,1,2,3\nB,1,2,nan\n", "line 3: 'nan' is not a finite number"),
    ],
)
def test_bad_landmarks_are_named_with_their_row(text, words, field, good, tmp_path, fails):
    first = points(tmp_path / "first.csv", HEADER + "A,4,5,6\nB,7,8,9\n")
    bad = points(tmp_path / "bad.csv", text)
    given = {"field": field, "fixed": good, "fixed_landmarks": first, "moving_landmarks": bad}
    error = fails(3, "evaluate", **given, output=tmp_path / "out.json")
    assert error.startswith(f"error: {bad}: ") and words in error
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_landmarks_with_a_byte_order_mark(encoding, field, good, tmp_path, succeeds):
    first = points(tmp_path / "first.csv", HEADER + "A,4,5,6\nB,7,8,9\n")
    second = points(tmp_path / "second.csv", HEADER + "B,7,8,12\nA,4,5,6\n", encoding)
    given = {"field": field, "fixed": good, "fixed_landmarks": first, "moving_landmarks": second}
    succeeds("evaluate", "--quiet", **given, output=tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text())["tre"]["mean_mm"] == pytest.approx(1.5)


# --- fields ------------------------------------------------------------------------------------

BAD_FIELDS = {
    "nan": (lambda disp: np.where(np.arange(3) == 1, np.nan, disp), 0, "NaN or infinite values"),
    "for other images": (lambda disp: disp[:-1], 0, "field for 23x28x26 voxels"),
    "of two components": (lambda disp: disp[..., :2], 0, "is no displacement field"),
    "positions": (
        lambda disp: disp + np.moveaxis(np.indices(disp.shape[:3]), 0, -1) + 20,
        0,
        "must be in voxels, not in mm",
    ),
    "coefficients": (lambda disp: disp, 2009, "no field but coefficients"),
}


@pytest.mark.parametrize("name", BAD_FIELDS)
@pytest.mark.parametrize("command", ["apply", "evaluate", "register"])
def test_no_field(name, command, head, pair, good, nifti, tmp_path, fails):
    change, intent, words = BAD_FIELDS[name]
    disp = change(np.zeros((*head.shape, 3), np.float32)).astype(np.float32)
    bad = nifti(tmp_path / "bad.nii", disp, np.eye(4), intent_code=intent)
    given = {
        "apply": {"field": bad, "fixed": good, "moving": good, "output": tmp_path / "w.nii"},
        "evaluate": {"field": bad, "fixed": good, "output": tmp_path / "m.json"},
        "register": {**pair, "init": bad, "output": tmp_path / "result"},
    }[command]
    error = fails(3, command, **given)
    assert error.startswith(f"error: {bad}: ") and words in error
    assert [p.name for p in tmp_path.iterdir()] == ["bad.nii"]
