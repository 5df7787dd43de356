"""Result folders: complete or not there, with the usual rights."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from optreg.errors import OutputError
from optreg.io.files import make_folder
from optreg.io.folder import staged_folder


def test_staged_folder_disappears_with_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), staged_folder(tmp_path / "a" / "b", False) as folder:
        (folder / "x").write_text("x")
        raise ZeroDivisionError
    assert os.listdir(tmp_path / "a") == []


def test_staged_folder_is_readable_by_others(tmp_path):
    before = os.umask(0o022)
    try:
        with staged_folder(tmp_path / "a", False) as folder:
            (folder / "x").write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755


def test_full_disk_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="No space"), staged_folder(tmp_path / "a", False):
        raise OSError(28, "No space left on device")
    assert os.listdir(tmp_path) == []


def fill(path, overwrite=False, **content):
    with staged_folder(path, overwrite) as folder:
        for name, text in content.items():
            (folder / name).write_text(text)


def test_link_to_a_folder_stays_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    fill(tmp_path / "link", a="1")
    fill(tmp_path / "link", True, a="2", b="3")
    assert (tmp_path / "link").is_symlink() and sorted(os.listdir(tmp_path)) == ["link", "real"]
    assert sorted(os.listdir(tmp_path / "real")) == ["a", "b"]
    assert (tmp_path / "real/a").read_text() == "2"


def test_link_to_a_folder_that_is_not_there_yet(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    fill(tmp_path / "link", a="1")
    assert (tmp_path / "link").is_symlink() and os.listdir(tmp_path / "real") == ["a"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_mounted_folder_is_filled(overwrite, tmp_path, monkeypatch):
    mount = tmp_path / "mount"
    mount.mkdir()
    if overwrite:
        (mount / "a").write_text("old")

    def within(source, target):
        source, target = Path(source), Path(target)
        if target == mount:
            raise OSError(errno.EBUSY, "Device or resource busy")
        if (mount in source.parents) != (mount in target.parents):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(source, target)

    replace = os.replace
    monkeypatch.setattr(os, "replace", within)
    fill(mount, overwrite, a="new")
    assert (mount / "a").read_text() == "new"
    assert os.listdir(mount) == ["a"] and os.listdir(tmp_path) == ["mount"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_folder_in_one_that_is_read_only(tmp_path):
    (tmp_path / "a").mkdir()
    tmp_path.chmod(0o500)
    try:
        fill(tmp_path / "a", x="x")
        assert os.listdir(tmp_path / "a") == ["x"]
    finally:
        tmp_path.chmod(0o700)


def test_what_a_killed_run_left_is_no_content(tmp_path):
    target = tmp_path / "result"
    target.mkdir()
    with staged_folder(target, False):
        (killed,) = target.iterdir()
        shutil.copytree(killed, target / f"{killed.name}2")
    fill(target, a="1")
    assert (target / "a").exists()
    with pytest.raises(OutputError, match="not empty"):
        fill(target, a="2")


def test_files_of_the_user_stay_and_those_of_other_commands_go(tmp_path):
    mine = dict.fromkeys(("fixed.nii.gz", "labels.nii.gz", "volumes.csv", "notes"), "mine")
    fill(tmp_path / "a", **mine, **{"warped.nii.gz": "old"})
    fill(tmp_path / "a", True, x="x")
    assert sorted(os.listdir(tmp_path / "a")) == sorted([*mine, "x"])
    sure = {"agreement.nii.gz": "", "truth.nii.gz": ""}
    fill(tmp_path / "b", **mine, **sure)
    fill(tmp_path / "b", True, x="x")
    assert sorted(os.listdir(tmp_path / "b")) == ["notes", "x"]


def test_existing_folder_keeps_its_name(tmp_path):
    (tmp_path / "a.nii.gz").mkdir()
    fill(tmp_path / "a.nii.gz", x="1")
    fill(tmp_path / "a.nii.gz" / "b", x="1")
    fill(tmp_path / "v1.2", x="1")
    assert make_folder(tmp_path / "a.nii.gz" / "c").is_dir()
    for name in ("b.zip", "a.nii.gz/b.csv/c"):
        for make in (make_folder, lambda path: fill(path, x="1")):
            with pytest.raises(OutputError, match=r"name a folder, without \.(zip|csv)$"):
                make(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["a.nii.gz", "v1.2"]
