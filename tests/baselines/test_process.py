"""Methods in processes of their own: files, seconds, memory, failures."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import process

_TOY = """
import sys, time
sys.path.insert(0, {folder!r})
import numpy as np
import process

def prepare(*, threads, size):
    time.sleep(0.3)

def run(fixed, moving, *, threads, size):
    print("reading", fixed)
    if size < 0:
        raise SystemExit("size is negative")
    block = np.ones(size << 18, np.float32)  # this many MiB
    disp = np.full((3, 2, 2, 2), block[0] + threads, np.float32)
    return process.Fields(disp, -disp, {{"moving": moving.name}})

process.main(run, ("numpy", "no-such-package"), prepare)
"""


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text(_TOY.format(folder=str(Path(process.__file__).parent)))
    return str(path)


def _call(toy, tmp_path, size, threads=3):
    pair = (tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    stem = tmp_path / "out" / "toy@0.5"
    settings = {"size": size}
    return stem, process.call(
        Path(sys.executable), toy, pair, stem, threads=threads, settings=settings
    )


def test_fields_and_record_arrive(toy, tmp_path):
    stem, record = _call(toy, tmp_path, size=1)
    names = sorted(p.name.removeprefix(stem.name) for p in stem.parent.iterdir())
    assert names == [".inverse.npy", ".log", ".npy", ".run.json"]
    disp = np.load(process.beside(stem, ".npy"))
    assert disp.shape == (3, 2, 2, 2) and (disp == 4).all()
    assert (np.load(process.beside(stem, ".inverse.npy")) == -4).all()
    assert record == json.loads(process.beside(stem, ".run.json").read_text())
    assert record["settings"] == {"size": 1}
    assert record["threads"] == 3
    assert record["versions"] == {"numpy": np.__version__, "no-such-package": "unknown"}
    assert record["notes"] == {"moving": "b.nii.gz"}
    assert "reading" in process.beside(stem, ".log").read_text()


def test_only_the_run_is_timed(toy, tmp_path):
    _, record = _call(toy, tmp_path, size=1)
    assert record["seconds"] < 0.3 < record["process_seconds"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_is_that_of_the_method_alone(toy, tmp_path):
    ballast = np.ones(150 << 18, np.float32)  # of this process: must not count
    _, small = _call(toy, tmp_path, size=1)
    _, large = _call(toy, tmp_path, size=200)
    assert ballast.nbytes / 1e6 < process.peak_memory_mb()
    assert 190 < large["peak_memory_mb"] - small["peak_memory_mb"] < 230
    assert small["peak_memory_mb"] < 120


def test_a_failure_names_the_last_line_of_the_log(toy, tmp_path):
    with pytest.raises(RuntimeError, match=r"ended with 1: size is negative \(see .*\.log\)"):
        _call(toy, tmp_path, size=-1)
    assert not list((tmp_path / "out").glob("*.json"))


def test_what_takes_too_long_is_ended_with_all_its_programs(toy, tmp_path):
    text = Path(toy).read_text()
    sleeper = "import subprocess; subprocess.Popen(['sleep', '60']).wait()"
    Path(toy).write_text(text.replace("    time.sleep(0.3)", f"    {sleeper}"))
    pair = (tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    options = {"threads": 1, "settings": {"size": 1}, "limit_s": 1.5}
    start = time.perf_counter()
    with pytest.raises(RuntimeError, match=r"longer than 1\.5 seconds"):
        process.call(Path(sys.executable), toy, pair, tmp_path / "out" / "toy", **options)
    assert time.perf_counter() - start < 20
    assert not list((tmp_path / "out").glob("*.json"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_of_a_program_counts(toy, tmp_path):
    text = Path(toy).read_text()
    child = "subprocess.run([sys.executable, '-c', 'b = bytearray(b\"1\") * (250 << 20)'])"
    Path(toy).write_text(text.replace("    time.sleep(0.3)", f"    import subprocess; {child}"))
    _, record = _call(toy, tmp_path, size=1)
    assert 250 < record["peak_memory_mb"] < 330
