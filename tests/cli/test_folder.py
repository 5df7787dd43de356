"""Result folders: complete or not there, with the usual rights."""

import os

import pytest

from optreg.cli.folder import staged_folder
from optreg.errors import OutputError


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
