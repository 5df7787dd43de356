"""Processes that work for another one: what they say is heard, and their death ends nothing."""

from __future__ import annotations

import os
import shutil
import sys

import nibabel as nib
import numpy as np
import pytest
from commands import command_line
from joblib.externals.loky import get_reusable_executor

from optreg import batch, cli
from optreg.config import RegistrationConfig
from optreg.io.datasets import read_dataset

FATAL = """
import os, signal

def work(job):
    with open(job.fields / "deaths", "a") as deaths:
        deaths.write("x")
        deaths.flush()
        if deaths.tell() < 20:
            os.kill(os.getpid(), signal.SIGKILL)
    return {"name": job.pair.name, "status": "tried for ever"}
"""


@pytest.fixture
def new_workers():
    """No worker of an earlier test, which has other folders and writes elsewhere."""
    get_reusable_executor().shutdown()
    yield
    get_reusable_executor().shutdown()


def test_processes_that_die_before_they_begin(images, tmp_path, monkeypatch, new_workers):
    (tmp_path / "fatal.py").write_text(FATAL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    import fatal

    config = RegistrationConfig.from_toml(images / "fast.toml")
    pairs = read_dataset(images / "d.json").pairs[:2]
    jobs = [batch.Job(p, tmp_path, tmp_path / "records", config) for p in pairs]
    for job in jobs:
        job.output.write_bytes(b"of an earlier run")
    found = list(batch.run_all(jobs, batch.Local(2), fatal.work))
    assert [(r["name"], r["status"]) for r in found] == [(p.name, "failed") for p in pairs]
    assert not any(job.output.exists() for job in jobs)


@pytest.fixture
def doubtful(images, tmp_path):
    """Dataset whose images say two different things of where they are."""
    folder = shutil.copytree(images, tmp_path / "images")
    for path in folder.glob("X_*.nii.gz"):
        image = nib.load(path)
        image = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
        image.set_qform(image.affine + np.eye(4, k=3), code=1)
        image.set_sform(image.affine, code=1)
        nib.save(image, path)
    return folder


def test_messages_of_workers_are_those_of_one_process(doubtful, tmp_path, capfd, new_workers):
    given = {"dataset": doubtful / "d.json", "config": doubtful / "fast.toml", "device": "cpu"}

    def said(jobs, *more):
        output = tmp_path / f"{jobs}{''.join(more)}"
        argv = command_line("submit", *more, jobs=jobs, shard="1/2", output=output, **given)
        assert cli.main(argv) == 0
        lines = capfd.readouterr().err.splitlines()
        return sorted(line for line in lines if not line.endswith(" s"))  # the times of pairs

    warnings = said(2)
    assert len(warnings) == 4 and warnings == said(1)
    assert all(w.startswith("warning: ") and "disagree" in w for w in warnings)
    assert said(2, "--quiet") == []
    everything = said(2, "--verbose")
    assert everything == said(1, "--verbose") and set(everything) > set(warnings)
