"""Batches: parallel equals serial, what is done is kept, what fails or dies stops nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor

from optreg import batch, cli
from optreg.batch.records import file_hash
from optreg.compare import read_scores
from optreg.config import RegistrationConfig
from optreg.io import load_image, read_field
from optreg.io.datasets import read_dataset
from optreg.submission import check_submission
from optreg.transform import DisplacementField

NAMES = ("disp_0002_0001", "disp_0003_0001", "disp_0004_0001", "disp_0005_0001")


def submit(images, output, *more):
    argv = ["submit", "--dataset", images / "d.json", "--output", output]
    if "--config" not in more:
        argv += ["--config", images / "fast.toml"]
    return cli.main([str(a) for a in [*argv, "--device", "cpu", *more]])


def hashes(output):
    return {p.name: file_hash(p) for p in sorted((output / "submission").iterdir())}


def records(output):
    return {p.stem: json.loads(p.read_text()) for p in sorted((output / "records").iterdir())}


def test_a_whole_run(images, undisturbed):
    dataset = read_dataset(images / "d.json")
    assert sorted(p.name for p in undisturbed.iterdir()) == [
        "config.toml", "records", "submission", "submission.zip", "summary.json",
    ]  # fmt: skip
    assert tuple(hashes(undisturbed)) == tuple(f"{n}.nii.gz" for n in NAMES)
    assert check_submission(undisturbed / "submission.zip", dataset) == []
    for name, record in records(undisturbed).items():
        assert record["name"] == name and record["status"] == "done"
        assert record["quality"]["folded_voxels"] == 0 and record["device"] == "cpu"
        assert record["config"]["continuous"]["iterations"] == [8, 4, 1]
        assert record["inputs"]["fixed"] == file_hash(Path(record["fixed"]))
        assert record["timings_s"]["total"] <= record["seconds"]
    summary = json.loads((undisturbed / "summary.json").read_text())
    assert summary["done"] == summary["pairs"] == 4 and not summary["failed"]
    # They are registrations: the last one brings the moving image closer.
    pair = dataset.pairs[3]
    fixed, moving = load_image(pair.fixed), load_image(pair.moving)
    field = read_field(undisturbed / "submission" / pair.file_name)
    warped = DisplacementField(field.disp, fixed.grid).apply(moving)
    before, after = (np.abs(i.data - fixed.data).mean() for i in (moving, warped))
    assert after < 0.85 * before


def test_processes_give_the_same(images, undisturbed, tmp_path):
    assert submit(images, tmp_path / "b", "--jobs", "2", "--quiet") == 0
    assert hashes(tmp_path / "b") == hashes(undisturbed)


def test_pairs_overlap_in_one_process(images, undisturbed, tmp_path, monkeypatch):
    events, lock = [], threading.Lock()

    def noted(step):
        original = getattr(batch.Task, step)

        def run(task):
            with lock:
                events.append(
                    (step, "starts", len([e for e in events if e[:2] == (step, "starts")]))
                )
            found = original(task)
            if step == "register":
                time.sleep(0.5)  # so that the neighbours have time to be read and written
            with lock:
                events.append((step, "ends", len([e for e in events if e[:2] == (step, "ends")])))
            return found

        monkeypatch.setattr(batch.Task, step, run)

    for step in ("read", "register", "write"):
        noted(step)
    assert submit(images, tmp_path / "b", "--quiet") == 0
    assert hashes(tmp_path / "b") == hashes(undisturbed)
    when = {event: number for number, event in enumerate(events)}
    for i in range(3):
        assert when["read", "ends", i + 1] < when["register", "ends", i]
        assert when["write", "starts", i] < when["register", "ends", i + 1]
    assert [e[2] for e in events if e[:2] == ("register", "ends")] == [0, 1, 2, 3]


def test_what_is_done_is_kept(images, undisturbed, tmp_path, capsys):
    output = tmp_path / "b"
    shutil.copytree(undisturbed, output)
    before = {n: r["started"] + str(r["process"]) for n, r in records(output).items()}
    (output / "submission" / f"{NAMES[0]}.nii.gz").unlink()
    damaged = output / "submission" / f"{NAMES[1]}.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    (output / "records" / f"{NAMES[2]}.json").write_text("{")
    (output / "submission" / f".{NAMES[0]}.nii.gz.123.part").write_bytes(b"half")
    (output / "submission" / ".other.nii.gz.123.part").write_bytes(b"of another machine")
    (output / "records" / NAMES[3]).with_suffix(".json").touch()
    time.sleep(1.1)  # so that the starts, in seconds, differ
    assert submit(images, output) == 0
    after = {n: r["started"] + str(r["process"]) for n, r in records(output).items()}
    assert [n for n in NAMES if after[n] != before[n]] == list(NAMES[:3])
    (output / "submission" / ".other.nii.gz.123.part").unlink()
    assert hashes(output) == hashes(undisturbed)
    done = capsys.readouterr()
    assert "4 of 4 pairs done (1 before), 0 failed" in done.out
    assert f"2/4 {NAMES[0]} done" in done.err


def test_other_settings_or_images_are_done_again(images, undisturbed, tmp_path):
    output, other = tmp_path / "b", tmp_path / "images"
    shutil.copytree(undisturbed, output)
    assert submit(images, output, "--similarity", "mind", "--quiet", "--shard", "1/4") == 0
    assert [r["similarity"] for r in records(output).values()] == ["mind", *["lncc"] * 3]
    assert json.loads((output / "summary-1-of-4.json").read_text())["pairs"] == 1
    shutil.copytree(images, other)
    shutil.copy(other / "X_0003_0000.nii.gz", other / "X_0002_0000.nii.gz")
    assert submit(other, output, "--quiet") == 0
    found = hashes(output)
    assert found.pop(f"{NAMES[0]}.nii.gz") == found[f"{NAMES[1]}.nii.gz"]


def test_one_that_fails_does_not_stop_the_others(images, undisturbed, tmp_path, capsys):
    broken = tmp_path / "images"
    shutil.copytree(images, broken)
    whole = (broken / "X_0003_0000.nii.gz").read_bytes()
    (broken / "X_0003_0000.nii.gz").write_bytes(whole[: len(whole) // 2])
    output = tmp_path / "b"
    assert submit(broken, output, "--jobs", "2") == 5
    printed = capsys.readouterr().out
    assert f"failed: {NAMES[1]}: " in printed and "file damaged" in printed
    assert "3 of 4 pairs done, 1 failed" in printed
    assert records(output)[NAMES[1]]["status"] == "failed"
    assert not (output / "submission.zip").exists() and len(hashes(output)) == 3
    (broken / "X_0003_0000.nii.gz").write_bytes(whole)
    assert submit(broken, output, "--quiet") == 0
    assert hashes(output) == hashes(undisturbed)


def test_zero_fields_for_what_is_not_done(images, tmp_path):
    output = tmp_path / "b"
    assert submit(images, output, "--quiet", "--shard", "2/4", "--fill-zero") == 0
    with zipfile.ZipFile(output / "submission.zip") as archive:
        assert len(archive.namelist()) == 4
    assert check_submission(output / "submission.zip", read_dataset(images / "d.json")) == []
    assert not read_field(output / "submission" / f"{NAMES[0]}.nii.gz").disp.any()
    assert read_field(output / "submission" / f"{NAMES[1]}.nii.gz").disp.any()


def test_no_zip_of_fields_that_the_challenge_would_refuse(images, undisturbed, tmp_path, capsys):
    output = tmp_path / "b"
    shutil.copytree(undisturbed, output)
    (output / "submission.zip").unlink()
    (output / "records" / f"{NAMES[2]}.json").unlink()
    disp = np.zeros((40, 48, 44, 3), np.float32)
    disp[1, 2, 3] = np.nan
    nib.save(nib.Nifti1Image(disp, np.eye(4)), output / "submission" / f"{NAMES[2]}.nii.gz")
    # Of another machine, say: this one does another part of the pairs.
    assert submit(images, output, "--shard", "2/4") == 3
    error = capsys.readouterr().err
    assert f"{output / 'submission.zip'}: not written; {NAMES[2]}.nii.gz: 1 voxels are NaN" in error
    assert not (output / "submission.zip").exists()
    shutil.copy(undisturbed / "submission" / f"{NAMES[2]}.nii.gz", output / "submission")
    assert submit(images, output, "--shard", "2/4", "--quiet") == 0
    assert (output / "submission.zip").exists()


def test_a_pair_that_fails_leaves_no_field_of_other_settings(images, undisturbed, tmp_path):
    broken, output = tmp_path / "images", tmp_path / "b"
    shutil.copytree(images, broken)
    shutil.copytree(undisturbed, output)
    (output / "submission.zip").unlink()
    (broken / "X_0003_0000.nii.gz").write_bytes(b"no image")
    (broken / "d.json").write_text((images / "d.json").read_text())
    with pytest.MonkeyPatch.context() as patch:
        # The list is fine when it is read; the image breaks afterwards.
        patch.setattr("optreg.io.datasets.read_shape", lambda path: None)
        assert submit(broken, output, "--quiet") == 5
    assert records(output)[NAMES[1]]["status"] == "failed"
    assert f"{NAMES[1]}.nii.gz" not in hashes(output) and not (output / "submission.zip").exists()


def test_fields_of_others_are_refined(images, undisturbed, tmp_path, capsys):
    argv = ["refine", "--dataset", images / "d.json", "--config", images / "fast.toml"]
    argv += ["--device", "cpu", "--init"]

    def refine(start, output):
        return cli.main([str(a) for a in [*argv, start, "--output", output]])

    assert refine(undisturbed / "submission.zip", tmp_path / "b") == 0
    printed = capsys.readouterr().out
    for name, record in records(tmp_path / "b").items():
        start = undisturbed / "submission" / f"{name}.nii.gz"
        assert record["inputs"]["init"] == file_hash(start)
    gained = {
        when: read_scores(when, tmp_path / "b/scores" / when).cases for when in ("before", "after")
    }
    for name in NAMES:
        before, after = (gained[when][name]["similarity"] for when in ("before", "after"))
        assert after > before > 0.8
    mean = np.mean([case["similarity"] for case in gained["after"].values()])
    assert f"{mean:.4f}" in printed and "comparison.html" in printed
    assert f"{mean:.4f}" in (tmp_path / "b/comparison.html").read_text()
    # Of a folder instead of a zip the same comes out, and what is done is kept.
    shutil.copytree(tmp_path / "b", tmp_path / "c")
    assert refine(undisturbed / "submission", tmp_path / "c") == 0
    assert "4 of 4 pairs done (4 before)" in capsys.readouterr().out
    assert refine(images, tmp_path / "d") == 3
    assert "holds no disp_0002_0001.nii.gz and 3 more" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--shard", "5/4"], 2, "K from 1 to N"),
        (["--jobs", "0"], 2, "positive"),
        (["--backend", "dask"], 2, "go together"),
        (["--scheduler", "tcp://x:1"], 2, "go together"),
        (["--split", "test"], 3, "no list 'test'; there are: validation"),
        (["--device", "tpu"], 4, "unknown device"),
    ],
)
def test_refused_before_any_work(images, tmp_path, capsys, more, code, words):
    try:
        found = submit(images, tmp_path / "b", *more)
    except SystemExit as stop:
        found = stop.code
    assert found == code and words in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_all_problems_of_a_dataset_are_printed(images, tmp_path, capsys):
    pairs = [{"fixed": "none.nii.gz", "moving": "../x.nii.gz"}, {"fixed": "a.nii"}]
    (tmp_path / "d.json").write_text(json.dumps({"validation": pairs}))
    assert submit(tmp_path, tmp_path / "b", "--config", images / "fast.toml") == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and lines[-1].startswith("error: ") and "2 problems" in lines[-1]


DEADLY = """
import os, signal
from optreg.batch import Records

def work(job):
    records = Records(job.records)
    records.write(job.pair.name, {"name": job.pair.name, "status": "running"})
    if job.pair.name.endswith("3_0001"):
        os.kill(os.getpid(), signal.SIGKILL)
    record = {"name": job.pair.name, "status": "done", "process": os.getpid()}
    records.write(job.pair.name, record)
    return record
"""


def test_a_process_that_dies_takes_one_pair_with_it(images, tmp_path, monkeypatch, caplog):
    (tmp_path / "deadly.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))  # it is there now
    get_reusable_executor().shutdown()  # workers of earlier tests do not know that folder
    import deadly

    pairs = read_dataset(images / "d.json").pairs
    config = RegistrationConfig.from_toml(images / "fast.toml")
    jobs = [batch.Job(p, tmp_path, tmp_path / "r", config) for p in pairs]
    found = {r["name"]: r for r in batch.run_all(jobs, batch.Local(2), deadly.work)}
    assert [found[n]["status"] for n in NAMES] == ["done", "failed", "done", "done"]
    assert "process died" in found[NAMES[1]]["error"] and "going on" in caplog.text
    assert batch.Records(tmp_path / "r").read(NAMES[1])["status"] == "failed"


@pytest.mark.slow
def test_killed_at_any_moment_and_started_again(images, undisturbed, child_environment, tmp_path):
    rng = np.random.default_rng(0)
    command = [sys.executable, "-m", "optreg", "submit", "--dataset", images / "d.json"]
    command += ["--config", images / "fast.toml", "--device", "cpu", "--quiet", "--output"]
    # The first may have to compile, any may be held up: the quickest shows how long a run takes.
    whole = np.inf
    for name in ("first", "second", "third"):
        start = time.perf_counter()
        subprocess.run([*command, tmp_path / name], env=child_environment, check=True)
        whole = min(whole, time.perf_counter() - start)
    killed = 0
    for trial in range(12):
        output = tmp_path / f"b{trial % 3}"  # also: killed more than once
        jobs = str(1 + trial % 2)
        run = subprocess.Popen(
            [*command, output, "--jobs", jobs], env=child_environment, start_new_session=True
        )
        time.sleep(whole * rng.uniform(0.2, 1.0))
        killed += run.poll() is None
        with contextlib.suppress(ProcessLookupError):  # it was done already
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        for field in (output / "submission").glob("*.nii.gz"):
            assert file_hash(field) == hashes(undisturbed)[field.name]
        if trial % 4 == 3:
            shutil.rmtree(output, ignore_errors=True)
    assert killed >= 6
    for trial in range(3):
        output = tmp_path / f"b{trial}"
        subprocess.run([*command, output], env=child_environment, check=True)
        assert hashes(output) == hashes(undisturbed)
        assert {r["status"] for r in records(output).values()} == {"done"}
