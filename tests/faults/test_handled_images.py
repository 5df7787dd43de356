"""Images with a fault or an oddity that can be dealt with: the result is as if they had none."""

from __future__ import annotations

import logging

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from itk_images import itk_image
from numpy.testing import assert_allclose, assert_array_equal

import optreg
from optreg.errors import InputError
from optreg.grid import Grid
from optreg.image import Image
from optreg.io import load_image, read_field, save_image


def registered(fixed, moving):
    return optreg.register(fixed, moving, preset="fast", device="cpu").disp


@pytest.fixture(scope="session")
def expected(head, deformed):
    """Registration of the good images."""
    disp = registered(head, deformed)
    assert np.abs(disp).max() > 1
    return disp


# --- another grid ------------------------------------------------------------------------------


def elsewhere(image):
    """The image on a larger grid with another origin and an axis reversed, by SimpleITK."""
    shape = tuple(n + 6 for n in image.shape)
    affine = image.grid.affine @ np.diag([-1.0, 1, 1, 1])
    affine[:3, 3] = image.grid.voxel_to_world([image.shape[0] + 1, -2, -1])
    grid = Grid(shape, affine)
    blank = itk_image(np.zeros(shape, np.float32), grid)
    source = itk_image(image.data, image.grid)
    larger = sitk.Resample(source, blank, sitk.Transform(), sitk.sitkLinear)
    return Image(sitk.GetArrayFromImage(larger).transpose(2, 1, 0), grid, image.name)


def test_moving_image_on_another_grid_is_resampled_and_the_log_says_so(
    head, deformed, expected, caplog
):
    with caplog.at_level(logging.INFO, "optreg"):
        found = registered(head, elsewhere(deformed))
    assert "deformed: (30, 34, 32) resampled to the fixed grid (24, 28, 26)" in caplog.text
    assert np.abs(found - expected).max() < 1e-3


def test_another_grid_at_the_terminal(pair, deformed, tmp_path, succeeds, fails):
    other = elsewhere(deformed)
    pair["moving"] = save_image(tmp_path / "other.nii.gz", other.data, other.grid)
    error = fails(3, "register", "--strict-grid", **pair, output=tmp_path / "a")
    assert error.startswith(f"error: {pair['moving']}: is on another grid than {pair['fixed']}")
    assert [p.name for p in tmp_path.iterdir()] == ["other.nii.gz"]
    said = succeeds("register", "--verbose", "--no-report", **pair, output=tmp_path / "a").err
    assert "resampled" in said


# --- voxels ------------------------------------------------------------------------------------


def test_nan_becomes_what_is_asked_for(head, deformed, pair, nifti, tmp_path, succeeds, fails):
    data = np.where(deformed.data == 0, np.nan, deformed.data).astype(np.float32)
    pair["moving"] = nifti(tmp_path / "nan.nii.gz", data)
    succeeds("register", "--no-report", "--quiet", **pair, nan_to=0, output=tmp_path / "a")
    found = read_field(tmp_path / "a" / "disp.nii.gz").disp
    assert_array_equal(found, registered(head, Image(np.nan_to_num(data), head.grid)))
    for value in ("nan", "inf", "1e300"):
        error = fails(2, "register", "--no-report", **pair, nan_to=value, output=tmp_path / "b")
        assert "give a finite number" in error
    assert not (tmp_path / "b").exists()


def test_one_volume_in_four_dimensions_is_that_volume(head, deformed, nifti, tmp_path, expected):
    path = nifti(tmp_path / "a.nii", deformed.data[..., None])
    assert nib.load(path).shape == (*head.shape, 1)
    assert_array_equal(registered(head, path), expected)


def test_volume_of_a_series_is_picked(head, deformed, pair, nifti, tmp_path, expected, succeeds):
    series = np.stack([0 * deformed.data, deformed.data, head.data], axis=3)
    pair["moving"] = nifti(tmp_path / "series.nii", series)
    succeeds("register", "--no-report", "--quiet", **pair, volume=1, output=tmp_path / "a")
    assert_array_equal(read_field(tmp_path / "a" / "disp.nii.gz").disp, expected)


def test_scaled_integers_are_scaled(head, deformed, nifti, tmp_path):
    stored = np.rint((deformed.data + 0.25) / 1e-4).astype(np.int16)
    path = nifti(tmp_path / "a.nii", stored, scl_slope=1e-4, scl_inter=-0.25)
    as_floats = Image((stored * np.float32(1e-4) - np.float32(0.25)), head.grid)
    assert_array_equal(load_image(path).data, as_floats.data)
    assert_array_equal(registered(head, path), registered(head, as_floats))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data * np.float32(1e30),
        lambda data: data * np.float32(1e-30),
        lambda data: (data.astype(np.float64) - 1) * 1e30,
        lambda data: (np.rint(data * 1000) - 3000).astype(np.int16),
        lambda data: np.rint(data.astype(np.float64) * 2**50).astype(np.int64),
    ],
    ids=["1e30", "1e-30", "1e30 and negative", "negative int16", "int64"],
)
def test_extreme_intensities_change_nothing(change, head, deformed, expected):
    changed = Image(change(deformed.data), head.grid)
    assert np.abs(registered(head, changed) - expected).max() < 1e-3


def test_a_voxel_that_outshines_all_changes_nothing_far_from_it(head, deformed, expected):
    data = deformed.data.copy()
    data[12, 14, 13] = 1e30
    found = registered(head, Image(data, head.grid))
    far = np.linalg.norm(np.indices(head.shape).T - [12, 14, 13], axis=-1).T > 7
    apart = np.abs(found - expected)[:, far]
    assert apart.mean() < 0.01 and np.quantile(apart, 0.99) < 0.06 and apart.max() < 0.5


@pytest.mark.parametrize("least", [0.0, -1e-16, -0.04])
def test_traces_of_an_interpolation_change_nothing(least, head, deformed, expected):
    """Resampled images have tiny values, and negative ones, where there was nothing."""
    rng = np.random.default_rng(0)
    traces = 10.0 ** rng.uniform(-40, -6, head.shape) + rng.uniform(least, 0, head.shape)
    data = np.where(deformed.data > 0, deformed.data, traces).astype(np.float32)
    assert np.abs(registered(head, Image(data, head.grid)) - expected).max() < 0.01


def test_more_than_float32_holds_is_refused(head, deformed):
    for factor in (1e300, -1e300):
        data = deformed.data.astype(np.float64) * factor
        with pytest.raises(InputError, match="too large"):
            registered(head, Image(data, head.grid))


def test_images_of_one_intensity_are_registered_by_their_outline(head, deformed):
    first, second = ((i.data > 0.5).astype(np.uint8) for i in (head, deformed))
    disp = registered(first, second)
    assert np.isfinite(disp).all() and np.abs(disp).max() > 0.3


# --- headers -----------------------------------------------------------------------------------

ODD_HEADERS = {
    "sform and qform disagree": (
        {"qform_code": 1, "qoffset_x": 99},
        "sform and qform disagree; the sform is used",
    ),
    "both codes 0": ({"sform_code": 0, "qform_code": 0}, "sform and qform codes are both 0"),
    "negative voxel size": (
        {"sform_code": 0, "qform_code": 1, "pixdim": [1, -1, 1, 1, 0, 0, 0, 0]},
        "negative voxel size",
    ),
    "wrong qfac": (
        {"sform_code": 0, "qform_code": 1, "pixdim": [0, 1, 1, 1, 0, 0, 0, 0]},
        "qfac (pixdim[0]) is 0; 1 is used",
    ),
    "metre": ({"xyzt_units": 1}, "unit of length is metre; converted to mm"),
    "micron": ({"xyzt_units": 3}, "unit of length is micron; converted to mm"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_HEADERS)
def test_odd_header_is_said_and_dealt_with(
    name, head, deformed, pair, nifti, tmp_path, expected, succeeds
):
    fields, notice = ODD_HEADERS[name]
    scale = {"metre": 1e-3, "micron": 1e3}.get(name, 1.0)
    affine = np.diag([scale, scale, scale, 1]) @ head.grid.affine
    paths = {}
    for role, image in (("fixed", head), ("moving", deformed)):
        paths[role] = nifti(tmp_path / f"{role}.nii", image.data, affine, **fields)
    said = succeeds("register", "--no-report", **{**pair, **paths}, output=tmp_path / "a").err
    for path in paths.values():
        assert f"warning: {path}: {notice}" in said
    assert_allclose(read_field(tmp_path / "a" / "disp.nii.gz").disp, expected, atol=1e-3)
    grid = load_image(paths["fixed"]).grid
    assert_allclose(grid.spacing, 1, rtol=1e-5)


def test_unit_that_is_not_stated_is_taken_for_mm(pair, deformed, nifti, tmp_path, succeeds):
    pair["moving"] = nifti(tmp_path / "a.nii", deformed.data, xyzt_units=0)
    said = succeeds("register", "--verbose", "--no-report", **pair, output=tmp_path / "a").err
    assert f"{pair['moving']}: unit of length not stated; mm assumed" in said
