"""Damaged files of every format, some hundreds of them; `run.py` reads as many as one likes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fuzz_files import SAMPLES, write_companions
from fuzz_readers import read
from fuzz_workers import Outcome, Pool


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.file)
def test_files_that_get_damaged_are_sound(sample, tmp_path):
    write_companions(tmp_path)
    sample.make(tmp_path / sample.file)
    assert read(sample, tmp_path / sample.file)


def test_damaged_files_are_read_or_refused():
    with Pool(2, seed=1, limit_s=60) as pool:
        outcomes = list(pool.run(range(250)))
        assert sorted(o.number for o in outcomes) == list(range(250))
        assert [o for o in outcomes if not o.is_sound] == []
        assert {o.verdict for o in outcomes} == {"read", "refused"}
    assert not pool.folder.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reader", "verdict", "words"),
    [
        ("import os; os._exit(7)", "died", "exit code 7"),
        ("while True: pass", "hung", "no answer after 2 s"),
        ("raise KeyError('what')", "wrong", "KeyError: 'what'"),
        ("bytearray(4 << 30)", "wrong", "MemoryError"),
        ("import os; os.write(2, b'noise')", "wrong", "on stderr: noise"),
        ("from optreg.errors import InputError; raise InputError('bad')", "wrong", "name the file"),
    ],
)
def test_what_readers_must_not_do_is_noticed(reader, verdict, words, tmp_path, monkeypatch):
    code = (
        "import optreg.io\n"
        "sound = optreg.io.load_image\n"
        "def load_image(path, **options):\n"
        "    if path.read_bytes() == path.parent.with_name('sound').joinpath(path.name)"
        ".read_bytes():\n"
        "        return sound(path, **options)\n"
        f"    {reader}\n"
        "optreg.io.load_image = load_image\n"
    )
    (tmp_path / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(filter(None, sys.path))}")
    with Pool(1, seed=0, limit_s=2, like="a.mgh") as pool:
        first, second = pool.run([0, 1])
    for outcome in (first, second):
        assert isinstance(outcome, Outcome) and not outcome.is_sound
        assert outcome.verdict == verdict and words in outcome.detail
