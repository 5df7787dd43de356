"""The container's entry as the organizers run it: any user, no home, no network, nothing writable
but the output.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import optreg
from optreg import batch
from optreg.io import read_field, save_image

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "lumir_container.py"


@pytest.fixture
def mounts(blobs, tmp_path):
    """Input, dataset and output as the container sees them, with one image that is damaged."""
    for name in ("input/imagesTs", "output", "package"):
        (tmp_path / name).mkdir(parents=True)
    for i in range(3):
        image = np.roll(blobs.data, i, axis=1)
        save_image(tmp_path / "input/imagesTs" / f"X_000{i}_0000.nii.gz", image, blobs.grid)
    broken = tmp_path / "input/imagesTs/X_0002_0000.nii.gz"
    broken.write_bytes(broken.read_bytes()[:9000])
    pairs = [
        {"fixed": f"imagesTs/X_000{i}_0000.nii.gz", "moving": "imagesTs/X_0000_0000.nii.gz"}
        for i in (1, 2)
    ]
    (tmp_path / "dataset.json").write_text(json.dumps({"test": pairs}))
    # A copy of the package that nobody can write to, without compiled code.
    source = Path(optreg.__file__).parent
    shutil.copytree(
        source, tmp_path / "package/optreg", ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path


def isolated(command):
    """The command as another user and without network, as far as this machine allows it."""
    other, tool = ["--setuid", "12345", "--setgid", "12345"], shutil.which("unshare")
    for options in (["--net", *other], other, ["--net"]) if tool else ():
        attempt = [tool, *options, "--", sys.executable, "-c", ""]
        if subprocess.run(attempt, capture_output=True).returncode == 0:
            return [tool, *options, "--", *command], options[-4:] == other
    return command, False


@pytest.mark.slow
def test_runs_as_any_user_without_home_or_network(mounts):
    (mounts / "output").chmod(0o777)
    for folder in [mounts, *mounts.parents]:
        if folder.is_relative_to(Path("/tmp")) and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    for path in (mounts / "package").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    command = [sys.executable, str(SCRIPT), "--input", str(mounts / "input"), "--preset", "fast"]
    command += ["--dataset", str(mounts / "dataset.json"), "--output", str(mounts / "output")]
    command, is_other_user = isolated(command)
    packages = [str(mounts / "package"), *(p for p in sys.path if p.endswith("-packages"))]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(packages)}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nonexistent"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd="/")
    assert done.returncode == 5, done.stderr  # one of the two images is damaged
    assert "disp_0002_0000" in done.stdout and "file damaged" in done.stdout
    written = sorted((mounts / "output").iterdir())
    assert [p.name for p in written] == [f"disp_000{i}_0000.nii.gz" for i in (1, 2)]
    fields = [read_field(p).disp for p in written]
    assert np.abs(fields[0]).max() > 0.3 and not fields[1].any()
    if is_other_user:
        assert (mounts / "output/disp_0001_0000.nii.gz").stat().st_uid == 12345


@pytest.fixture
def script():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("lumir_container", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def entry(script, mounts, monkeypatch):
    """The script's `main`, in this process, with the options that it would be given."""
    monkeypatch.setattr(script, "_CACHES", ())
    command = [str(SCRIPT), "--input", str(mounts / "input"), "--preset", "fast"]
    command += ["--dataset", str(mounts / "dataset.json"), "--output", str(mounts / "output")]
    monkeypatch.setattr(sys, "argv", [*command, "--device", "cpu"])
    return script.main


def test_goes_on_after_an_interrupt(mounts, entry, monkeypatch):
    register, registered = batch.Task.register, []

    def interrupted(task):
        registered.append(task)
        if len(registered) == 2:
            raise KeyboardInterrupt
        register(task)

    monkeypatch.setattr(batch.Task, "register", interrupted)
    assert entry() == 130
    assert [p.name for p in (mounts / "output").iterdir()] == [".optreg"]
    assert entry() == 5  # one of the two images is damaged
    assert len(registered) == 3  # the first pair once, the damaged one twice
    written = sorted(p.name for p in (mounts / "output").iterdir())
    assert written == ["disp_0001_0000.nii.gz", "disp_0002_0000.nii.gz"]


def test_compiled_code_is_looked_for_where_optreg_keeps_it(script, tmp_path, monkeypatch):
    scratch, home, kept = (tmp_path / name for name in ("scratch", "home", "kept"))
    for folder in (scratch, home):
        folder.mkdir()
    given = {"HOME": str(home), "MPLCONFIGDIR": str(tmp_path / "none")}
    monkeypatch.setattr(os, "environ", dict(given))
    script._use_caches(scratch)
    assert os.environ == {"HOME": str(home), "MPLCONFIGDIR": str(scratch / "mplconfigdir")}

    # Where there is no home, and where the folder of the compiled code takes nothing more.
    kept.mkdir()
    (kept / "code").write_text("compiled")
    given = {"HOME": str(tmp_path / "nobody"), "NUMBA_CACHE_DIR": str(kept)}
    monkeypatch.setattr(os, "environ", dict(given))
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(kept))
    script._use_caches(scratch)
    place = scratch / "numba_cache_dir"
    assert os.environ == {"HOME": str(scratch / "home"), "NUMBA_CACHE_DIR": str(place)}
    assert (place / "code").read_text() == "compiled" and (scratch / "home").is_dir()
