"""Submissions: packed as the challenge wants them, and everything wrong with one is found."""

from __future__ import annotations

import json
import stat
import zipfile

import nibabel as nib
import numpy as np
import pytest

from optreg.errors import InputError, OutputError
from optreg.grid import Grid
from optreg.io import read_field, save_image, write_field
from optreg.io.datasets import read_dataset
from optreg.submission import (
    check_submission,
    field_file,
    fill_with_zeros,
    pack,
    require_fields,
)

SHAPE = (10, 11, 12)
NAMES = [f"disp_000{i}_000{i + 1}.nii.gz" for i in range(1, 6)]


@pytest.fixture
def dataset(tmp_path):
    """Five pairs."""
    images = tmp_path / "images"
    images.mkdir()
    for i in range(1, 7):
        image = np.ones(SHAPE, np.uint8)
        save_image(images / f"X_000{i}_0000.nii.gz", image, Grid.identity(SHAPE))
    pairs = [
        {"fixed": f"X_000{i}_0000.nii.gz", "moving": f"X_000{i + 1}_0000.nii.gz"}
        for i in range(1, 6)
    ]
    content = {"validation": pairs, "tensorImageShape": {"0": SHAPE}}
    (images / "d.json").write_text(json.dumps(content))
    return read_dataset(images / "d.json")


@pytest.fixture
def folder(tmp_path, smooth_disp):
    """Valid fields."""
    place = tmp_path / "mine"
    place.mkdir()
    disp = smooth_disp[:, :10, :11, :12]
    for name in NAMES:
        write_field(place / name, disp, None)
    return place


def raw(path, array):
    """A field exactly as given."""
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)


def test_valid_ones_have_no_findings(dataset, folder, tmp_path):
    pack(folder, NAMES, tmp_path / "mine.zip")
    assert check_submission(folder, dataset) == []
    assert check_submission(tmp_path / "mine.zip", dataset) == []
    with zipfile.ZipFile(tmp_path / "mine.zip") as archive:
        assert archive.namelist() == [f"mine/{n}" for n in NAMES]
        assert archive.testzip() is None
    # Both orders of the axes are valid.
    raw(folder / NAMES[0], np.zeros((3, *SHAPE), np.float32))
    assert check_submission(folder, dataset) == []


def test_zip_is_complete_or_not_there(dataset, folder, tmp_path):
    with pytest.raises(OutputError):
        pack(folder, [*NAMES, "missing.nii.gz"], tmp_path / "a.zip")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images", "mine"]
    pack(folder, NAMES, tmp_path / "a.zip")
    with pytest.raises(OutputError, match="exists"):
        pack(folder, NAMES, tmp_path / "a.zip")
    pack(folder, NAMES[:1], tmp_path / "a.zip", overwrite=True)
    assert zipfile.ZipFile(tmp_path / "a.zip").namelist() == [f"mine/{NAMES[0]}"]


def test_pairs_that_were_not_attempted(dataset, folder):
    kept = (folder / NAMES[0]).read_bytes()
    for name in NAMES[1:3]:
        (folder / name).unlink()
    assert fill_with_zeros(dataset, folder) == NAMES[1:3]
    assert check_submission(folder, dataset) == []
    assert not read_field(folder / NAMES[1]).disp.any()
    assert (folder / NAMES[0]).read_bytes() == kept


def spoil(folder, smooth_disp):
    """Something wrong with every field but the last; what the findings must say."""
    disp = np.moveaxis(smooth_disp[:, :10, :11, :12], 0, -1).copy()
    (folder / NAMES[0]).rename(folder / "disp_1_2.nii.gz")
    raw(folder / NAMES[1], disp[:-1].astype(np.float32))
    broken = disp.copy()
    broken[4, 5, 6, 1] = np.nan
    raw(folder / NAMES[2], broken)
    folded = disp.copy()
    folded[5, 5, 5] += 3
    raw(folder / NAMES[3], folded)
    return [
        f"{NAMES[0]}: is missing",
        "disp_1_2.nii.gz: belongs to no pair",
        f"{NAMES[1]}: is for images of (9, 11, 12), those here are (10, 11, 12)",
        f"{NAMES[2]}: 1 voxels are NaN",
        f"{NAMES[3]}: 7 voxels are folded",
    ]


@pytest.mark.parametrize("zipped", [False, True])
def test_all_that_is_wrong_is_found_at_once(dataset, folder, tmp_path, smooth_disp, zipped):
    expected = spoil(folder, smooth_disp)
    (folder / ".DS_Store").write_bytes(b"x")
    source = folder
    if zipped:
        source = tmp_path / "bad.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for path in sorted(folder.glob("disp_*")):
                archive.write(path, f"mine/{path.name}")
            archive.writestr("../../evil.nii.gz", b"x")
            archive.writestr("top.txt", b"x")
            archive.writestr("other/notes.txt", b"x")
            archive.writestr("__MACOSX/mine/._x", b"x")
            archive.writestr("mine/.DS_Store", b"x")
            archive.writestr("mine/.notes/x", b"x")
            archive.writestr(".DS_Store", b"x")
            archive.writestr("third/.DS_Store", b"x")
            link = zipfile.ZipInfo("mine/link.nii.gz")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "/etc/passwd")
        expected = [
            "../../evil.nii.gz: leads out of the archive",
            "top.txt: is not in the one folder",
            "mine/link.nii.gz: is a link",
            "2 folders (mine, other), one is wanted",
            expected[0],
            expected[1],
            "notes.txt: belongs to no pair",
            *expected[2:],
        ]
    found = check_submission(source, dataset)
    assert len(found) == len(expected)
    for finding, words in zip(found, expected, strict=True):
        assert finding.startswith(words)
    assert not (tmp_path.parent / "evil.nii.gz").exists()
    without = check_submission(source, dataset, allow_folds=True)
    assert without == [f for f in found if "folded" not in f]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.zeros((*SHAPE, 3), np.int16), "voxels are int16, float32 is wanted"),
        (np.zeros((*SHAPE, 2), np.float32), "no field of three components"),
        (np.zeros(SHAPE, np.float32), "no field of three components"),
        (b"no image at all", "is not a NIfTI file"),
    ],
)
def test_other_files(dataset, folder, content, words):
    if isinstance(content, bytes):
        (folder / NAMES[0]).write_bytes(content)
    else:
        raw(folder / NAMES[0], content)
    (found,) = [f for f in check_submission(folder, dataset) if f.startswith(NAMES[0])][-1:]
    assert words in found


def test_archives_that_are_none(dataset, tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK no zip")
    with pytest.raises(InputError, match=r"x\.zip: is no zip"):
        check_submission(tmp_path / "x.zip", dataset)
    with pytest.raises(InputError, match="no such file"):
        check_submission(tmp_path / "y.zip", dataset)


def test_names_that_are_no_utf8_though_they_say_so(dataset, folder, tmp_path):
    pack(folder, NAMES, tmp_path / "a.zip")
    whole = (tmp_path / "a.zip").read_bytes()
    member, entry = bytearray(whole), bytearray(whole)
    first = whole.find(b"PK\1\2")
    member[7] |= 8
    member[30] = 0x92
    (tmp_path / "a.zip").write_bytes(member)
    (found,) = check_submission(tmp_path / "a.zip", dataset)
    assert found.startswith(f"{NAMES[0]}: cannot be unpacked")
    entry[first + 9] |= 8
    entry[first + 46] = 0x92
    (tmp_path / "a.zip").write_bytes(entry)
    with pytest.raises(InputError, match=r"a\.zip: is no zip"):
        check_submission(tmp_path / "a.zip", dataset)


def test_damaged_and_oversized_members(dataset, folder, tmp_path):
    pack(folder, NAMES, tmp_path / "a.zip")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[len(content) // 10] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(content)
    assert any("cannot be unpacked" in f for f in check_submission(tmp_path / "a.zip", dataset))
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"mine/{NAMES[0]}", b"\0" * (4 << 20))
    assert any("too large" in f for f in check_submission(tmp_path / "b.zip", dataset))


@pytest.mark.parametrize("name", [".", ""])
def test_entries_without_a_name(dataset, folder, tmp_path, name):
    pack(folder, NAMES, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        entry = zipfile.ZipInfo("x")
        archive.writestr(entry, b"x")
        entry.filename = name
    found = check_submission(tmp_path / "a.zip", dataset)
    assert found == [f"{name}: is not in the one folder of the archive"]
    require_fields(tmp_path / "a.zip", dataset)


def test_errors_name_the_zip_and_the_field_in_it(folder, tmp_path):
    name = NAMES[0]
    (folder / name).write_bytes(b"no image")
    zipped = tmp_path / "s.zip"
    pack(folder, [name], zipped)
    with pytest.raises(InputError) as caught, field_file(zipped, name) as path:
        read_field(path)
    assert str(caught.value).startswith(f"{zipped}: {name}: ")
    assert str(path) not in str(caught.value)
