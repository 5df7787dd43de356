"""Bad images and places that cannot be written to: ``optreg register`` names them and stops."""

import gzip
import os

import nibabel
import numpy as np
import pytest

from optreg.io import load_image, read_field


def text(path, good):
    path.write_text("this is no image\n")


def cut_short(path, good):
    path.write_bytes(good.read_bytes()[:3000])


def empty(path, good):
    path.write_bytes(b"")


def wrong_checksum(path, good):
    packed = bytearray(gzip.compress(gzip.decompress(good.read_bytes())))
    packed[-6] ^= 0xFF
    path.write_bytes(packed)


def with_nan(path, good):
    image = load_image(good)
    data = image.data.copy()
    data[3, 4, 5] = np.nan
    nibabel.save(nibabel.Nifti1Image(data, image.grid.affine), path)


def folder(path, good):
    path.mkdir()


@pytest.mark.parametrize("damage", [text, cut_short, empty, wrong_checksum, with_nan, folder])
@pytest.mark.parametrize("place", ["fixed", "moving"])
def test_bad_image_is_named_and_nothing_is_written(damage, place, pair, tmp_path, fails):
    bad = tmp_path / "bad.nii.gz"
    damage(bad, pair["fixed"])
    pair[place] = bad
    error = fails(3, "register", "--no-report", **pair, output=tmp_path / "result")
    assert error.startswith(f"error: {bad}: ")
    assert os.listdir(tmp_path) == ["bad.nii.gz"]


@pytest.mark.parametrize("place", ["fixed", "moving"])
def test_missing_image_is_named_and_nothing_is_written(place, pair, tmp_path, fails):
    pair[place] = tmp_path / "missing.nii.gz"
    error = fails(3, "register", "--no-report", **pair, output=tmp_path / "result")
    assert error.startswith(f"error: {pair[place]}: no such file")
    assert os.listdir(tmp_path) == []


def test_nan_can_be_replaced(pair, tmp_path, succeeds):
    with_nan(tmp_path / "nan.nii.gz", pair["fixed"])
    pair["fixed"] = tmp_path / "nan.nii.gz"
    succeeds("register", "--no-report", "--quiet", **pair, output=tmp_path / "result", nan_to=0)
    assert np.isfinite(read_field(tmp_path / "result" / "disp.nii.gz").disp).all()


def test_errors_name_options_that_help_and_no_others(pair, files, series, tmp_path, fails):
    with_nan(tmp_path / "nan.nii.gz", pair["fixed"])
    output = tmp_path / "result"
    for bad, words in (("nan.nii.gz", "--nan-to 0 replaces them"), (series, "--volume N")):
        error = fails(3, "register", **{**pair, "fixed": tmp_path / bad}, output=output)
        assert words in error
        atlas = "--atlas", files / "moving.nii.gz", files / "moving_seg.nii.gz"
        error = fails(3, "propagate", *atlas, target=tmp_path / bad, output=output)
        assert str(bad) in error and "--nan-to" not in error and "--volume" not in error
    # Both options are of the images only.
    error = fails(3, "register", **pair, fixed_mask=series, volume=1, output=output)
    assert "extract one" in error and "--volume" not in error


def test_label_map_with_fractions_is_refused(pair, files, tmp_path, fails):
    labels = {"fixed_labels": pair["fixed"], "moving_labels": files / "moving_seg.nii.gz"}
    assert "label map" in fails(3, "register", **pair, **labels, output=tmp_path / "result")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_read_only_output_is_refused_before_any_work(pair, tmp_path, fails):
    tmp_path.chmod(0o500)
    try:
        error = fails(3, "register", **pair, output=tmp_path / "result")
    finally:
        tmp_path.chmod(0o700)
    assert error.startswith(f"error: {tmp_path}: no permission")
    assert os.listdir(tmp_path) == []


def test_output_below_a_file_is_refused(pair, tmp_path, fails):
    file = tmp_path / "file"
    file.write_text("x")
    below = fails(3, "register", **pair, output=file / "result")
    assert below.startswith(f"error: {file / 'result'}: ")
    assert fails(3, "register", **pair, output=file).startswith(f"error: {file}: is a file")
    assert file.read_text() == "x"
    assert os.listdir(tmp_path) == ["file"]
