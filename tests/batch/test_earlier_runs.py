"""What an earlier run has left, with other settings or of other images, is in no submission."""

from __future__ import annotations

import json
import shutil
import zipfile

import pytest
from commands import command_line

from optreg import batch, cli

NAMES = ("disp_0002_0001", "disp_0003_0001", "disp_0004_0001", "disp_0005_0001")
OTHERWISE = ("--similarity", "mind")


@pytest.fixture
def output(undisturbed, tmp_path):
    """Output of a whole run, to be changed."""
    return shutil.copytree(undisturbed, tmp_path / "out")


def submit(images, output, *more):
    given = {"dataset": images / "d.json", "config": images / "fast.toml", "output": output}
    return cli.main(command_line("submit", *more, device="cpu", **given))


def similarities(output):
    records = [json.loads((output / "records" / f"{name}.json").read_text()) for name in NAMES]
    return [record.get("similarity") for record in records]


def test_no_zip_of_two_settings(images, output, capsys):
    assert submit(images, output, *OTHERWISE, "--shard", "1/2") == 0
    done = capsys.readouterr()
    assert f"warning: {output / 'submission.zip'}: not written; {NAMES[1]} and 1 more: " in done.err
    assert "other settings" in done.err and f"results in {output / 'submission'}\n" in done.out
    assert similarities(output) == ["mind", "lncc", "mind", "lncc"]
    assert not (output / "submission.zip").exists()
    # The other half, on another machine: now they belong together.
    assert submit(images, output, *OTHERWISE, "--shard", "2/2") == 0
    assert "warning" not in capsys.readouterr().err
    with zipfile.ZipFile(output / "submission.zip") as archive:
        for name in NAMES:
            field = (output / "submission" / f"{name}.nii.gz").read_bytes()
            assert archive.read(f"submission/{name}.nii.gz") == field


def test_no_zip_of_two_sets_of_images(images, output, tmp_path, capsys):
    other = shutil.copytree(images, tmp_path / "images")
    for name in ("X_0002_0000.nii.gz", "X_0003_0000.nii.gz"):
        shutil.copy(images / "X_0004_0000.nii.gz", other / name)
    assert submit(other, output, "--shard", "1/4") == 0
    assert f"not written; {NAMES[1]}: made with" in capsys.readouterr().err
    assert not (output / "submission.zip").exists()


def test_no_zip_of_earlier_fields_where_one_fails(images, output, tmp_path):
    broken = shutil.copytree(images, tmp_path / "images")
    image = broken / "X_0003_0000.nii.gz"
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    assert submit(broken, output, *OTHERWISE, "--quiet") == 5
    assert similarities(output) == ["mind", None, "mind", "mind"]
    assert not (output / "submission.zip").exists()


def test_no_zip_with_fields_that_an_interrupted_run_was_to_replace(images, output, monkeypatch):
    def interrupted(task):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(batch.Task, "register", interrupted)
        assert submit(images, output, *OTHERWISE, "--shard", "2/4") == 130
    assert not (output / "submission.zip").exists()
    for part in ("1/4", "3/4", "4/4"):
        assert submit(images, output, *OTHERWISE, "--quiet", "--shard", part) == 0
    assert similarities(output) == ["mind", None, "mind", "mind"]
    assert not (output / "submission.zip").exists()


def test_zip_stays_where_nothing_is_left_to_do(images, output, undisturbed):
    assert submit(images, output, "--quiet", "--shard", "2/4") == 0
    before, after = (
        zipfile.ZipFile(folder / "submission.zip").infolist() for folder in (undisturbed, output)
    )
    assert [(i.filename, i.CRC) for i in after] == [(i.filename, i.CRC) for i in before]
