"""Batches of any pairs: all results of each, masks, starts and labels by column, and the page."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import optreg
from optreg import cli
from optreg.batch.records import file_hash
from optreg.config import RegistrationConfig
from optreg.grid import Grid
from optreg.io import load_image, read_field, save_image
from optreg.transform import DisplacementField

COLUMNS = "fixed,moving,name,group,fixed_mask,init,fixed_labels,moving_labels"
CUT = np.s_[8:32, 10:36, 10:34]


def run(*argv):
    return cli.main([str(a) for a in ("batch", "--device", "cpu", "--quiet", *argv)])


@pytest.fixture(scope="module")
def folder(blobs, smooth_disp, tmp_path_factory):
    """Six small heads, label maps, a mask, settings; `pairs.csv` has all 30 pairs of them."""
    place = tmp_path_factory.mktemp("heads")
    grid = blobs.grid.crop(CUT)
    for i in range(6):
        field = DisplacementField((0.15 * i * smooth_disp).astype(np.float32), blobs.grid)
        data = np.ascontiguousarray(field.apply(blobs, "linear").data[CUT])
        save_image(place / f"h{i}.nii.gz", data, grid)
        labels = np.digitize(data, [0.01, 0.35, 0.6]).astype(np.uint8)
        save_image(place / f"h{i}_seg.nii.gz", labels, grid)
    mask = np.ones(grid.shape, np.uint8)
    mask[:, :, :8] = 0
    save_image(place / "mask.nii.gz", mask, grid)
    settings = {"preset": "fast", "continuous": {"iterations": [4, 2, 1]}}
    (place / "fast.toml").write_text(RegistrationConfig.from_dict(settings).to_toml())
    rows = [
        f"h{i}.nii.gz,h{j}.nii.gz,p{i}{j},g{i % 2},,,h{i}_seg.nii.gz,h{j}_seg.nii.gz"
        for i in range(6)
        for j in range(6)
        if i != j
    ]
    (place / "pairs.csv").write_text("\n".join([COLUMNS, *rows]) + "\n")
    return place


def table(path, *rows, columns=COLUMNS):
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def record(output, name):
    return json.loads((output / "records" / f"{name}.json").read_text())


def test_everything_of_a_pair_is_what_register_writes(folder, tmp_path):
    rows = ["h0.nii.gz,h3.nii.gz,a,,,,h0_seg.nii.gz,h3_seg.nii.gz"]
    pairs = table(folder / "one.csv", *rows)
    how = ["--config", folder / "fast.toml"]
    outputs = ["--outputs", "inverse", "warped", "labels", "jacobian", "itk", "report"]
    assert run(pairs, "--output", tmp_path / "b", *how, *outputs) == 0
    images = [f"--{role}={folder / f'h{i}.nii.gz'}" for role, i in (("fixed", 0), ("moving", 3))]
    labels = [
        f"--{role}-labels={folder / f'h{i}_seg.nii.gz'}"
        for role, i in (("fixed", 0), ("moving", 3))
    ]
    argv = ["register", *images, *labels, *how, *outputs, "--output", tmp_path / "r", "--quiet"]
    assert cli.main([str(a) for a in [*argv, "--device", "cpu"]]) == 0
    batch, alone = tmp_path / "b" / "pairs" / "a", tmp_path / "r"
    assert set(os.listdir(batch)) == {*os.listdir(alone), "thumbnail.jpg"}
    for name in os.listdir(alone):
        if name not in ("report.html", "result.json"):  # these know how long it took
            assert file_hash(batch / name) == file_hash(alone / name), name
    said = json.loads((batch / "metrics.json").read_text())
    numbers = record(tmp_path / "b", "a")["numbers"]
    assert numbers["dice_without_background"] == said["dice"]["mean_without_background"] > 0.7
    page = (tmp_path / "b" / "index.html").read_text()
    for link in ("report.html", "warped.nii.gz", "disp.nii.gz", "thumbnail.jpg"):
        assert f'"pairs/a/{link}"' in page
    assert f"{numbers['dice_without_background']:.4f}" in page


def test_masks_and_starts_are_used(folder, tmp_path):
    """Each pair as `register` does it with the same mask and start."""
    config = RegistrationConfig.from_toml(folder / "fast.toml")
    fixed, moving = (load_image(folder / f"h{i}.nii.gz") for i in (1, 4))
    start = DisplacementField(np.full((3, *fixed.shape), 0.7, np.float32), fixed.grid)
    optreg.io.write_field(folder / "start.nii.gz", start, None, overwrite=True)
    rows = {
        "plain": ("", "none"),
        "masked": ("mask.nii.gz", "none"),
        "started": ("", "start.nii.gz"),
        "moments": ("", "moments"),
    }
    lines = [f"h1.nii.gz,h4.nii.gz,{n},,{mask},{init},," for n, (mask, init) in rows.items()]
    how = ["--config", folder / "fast.toml", "--outputs", "warped"]
    assert run(table(folder / "m.csv", *lines), "--output", tmp_path / "b", *how) == 0
    found = {}
    for name, (mask, init) in rows.items():
        given = {"fixed_mask": folder / mask} if mask else {}
        expected = optreg.register(
            fixed, moving, config=config, device="cpu", **given,
            init=folder / init if "." in init else init,
        ).disp  # fmt: skip
        found[name] = read_field(tmp_path / "b" / "pairs" / name / "disp.nii.gz").disp
        np.testing.assert_array_equal(found[name], expected)
    for name in ("masked", "started"):
        assert np.abs(found[name] - found["plain"]).max() > 0.05


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            "fixed,moving,fixed_msk",
            ["'fixed_msk' is not known", "did you mean 'fixed_mask'", "init"],
        ),
        ("fixed,moving,age", ["'age' is not known", "moving_labels"]),
    ],
)
@pytest.mark.parametrize("command", ["batch", "submit"])
def test_column_that_nothing_is_done_with(command, columns, words, folder, tmp_path, capsys):
    pairs = table(folder / "c.csv", "h0.nii.gz,h1.nii.gz,mask.nii.gz", columns=columns)
    argv = [command, *(["--dataset"] if command == "submit" else []), pairs]
    assert cli.main([str(a) for a in [*argv, "--output", tmp_path / "o"]]) == 3
    said = capsys.readouterr().err
    assert all(word in said for word in words), said
    assert not (tmp_path / "o").exists()


def test_masks_of_a_table_count_in_a_submission_too(folder, tmp_path):
    pairs = table(folder / "s.csv", "h1.nii.gz,h4.nii.gz,p,,mask.nii.gz,none,,")
    argv = ["submit", "--dataset", pairs, "--config", folder / "fast.toml", "--output"]
    assert cli.main([str(a) for a in [*argv, tmp_path / "o", "--device", "cpu", "--quiet"]]) == 0
    expected = optreg.register(
        folder / "h1.nii.gz", folder / "h4.nii.gz", fixed_mask=folder / "mask.nii.gz",
        config=folder / "fast.toml", init=None, device="cpu",
    ).disp  # fmt: skip
    found = read_field(tmp_path / "o" / "submission" / "p.nii.gz").disp
    np.testing.assert_array_equal(found, expected)


def test_labels_of_a_table_are_judged_by(folder, tmp_path, capsys):
    pairs = table(folder / "e.csv", "h0.nii.gz,h3.nii.gz,p,,,,h0_seg.nii.gz,h3_seg.nii.gz")
    (tmp_path / "f").mkdir()
    grid = load_image(folder / "h0.nii.gz").grid
    optreg.io.write_field(tmp_path / "f" / "p.nii.gz", np.zeros((3, *grid.shape)), grid)
    argv = ["evaluate", "--fields", tmp_path / "f", "--dataset", pairs, "--no-hd95"]
    assert cli.main([str(a) for a in [*argv, "--output", tmp_path / "s", "--quiet"]]) == 0
    from optreg.metrics import dice, mean_over_labels

    maps = (load_image(folder / f"h{i}_seg.nii.gz").data for i in (0, 3))
    expected = mean_over_labels(dice(*maps))
    scores = json.loads((tmp_path / "s" / "metrics.json").read_text())
    assert scores["cases"]["dice"]["p"] == pytest.approx(expected, abs=1e-9)


def test_unknown_way_to_align(folder, tmp_path, capsys):
    pairs = table(folder / "w.csv", "h0.nii.gz,h1.nii.gz,p,,,afine,,")
    assert run(pairs, "--output", tmp_path / "o") == 2
    assert "init 'afine'" in capsys.readouterr().err


def test_pair_that_fails_and_picture_that_does(folder, tmp_path, capsys, monkeypatch):
    """Both are on the page; the others are done, and another run makes what is missing."""
    save_image(
        folder / "empty.nii.gz", np.zeros((24, 26, 24), np.uint8), Grid.identity((24, 26, 24))
    )
    rows = ["h0.nii.gz,empty.nii.gz,bad,,,,,", "h0.nii.gz,h1.nii.gz,good,,,,,"]
    pairs = table(folder / "f.csv", *rows)
    how = [pairs, "--output", tmp_path / "o", "--config", folder / "fast.toml"]

    def fault(*args, **kwargs):
        raise ValueError("no ink")

    with monkeypatch.context() as patch:
        patch.setattr("optreg.report.pair._page", fault)
        assert run(*how) == 5
    assert not (tmp_path / "o" / "pairs" / "bad" / "disp.nii.gz").exists()
    summary = json.loads((tmp_path / "o" / "summary.json").read_text())
    assert list(summary["failed"]) == ["bad"] and "foreground" in summary["failed"]["bad"]
    assert summary["missing"] == {"good": ["report.html"]} and summary["done"] == 1
    page = (tmp_path / "o" / "index.html").read_text()
    assert page.index(">bad<") < page.index(">good<") and "Missing: report.html" in page
    assert not (tmp_path / "o" / "pairs" / "good" / "report.html").exists()
    assert run(*how) == 5
    assert (tmp_path / "o" / "pairs" / "good" / "report.html").exists()
    assert json.loads((tmp_path / "o" / "summary.json").read_text())["missing"] == {}


def test_what_is_there_and_as_asked_is_kept(folder, tmp_path):
    pairs = table(folder / "k.csv", *(f"h0.nii.gz,h{i}.nii.gz,p{i},,,,," for i in (1, 2)))
    how = [pairs, "--output", tmp_path / "o", "--config", folder / "fast.toml", "--outputs"]
    files = tmp_path / "o" / "pairs" / "p1"

    def when():
        return [
            (tmp_path / "o" / "pairs" / p / "disp.nii.gz").stat().st_mtime_ns for p in ("p1", "p2")
        ]

    assert run(*how, "warped") == 0
    first = when()
    (files / "mine.txt").write_text("mine")
    assert run(*how, "warped") == 0 and when() == first
    (files / "warped.nii.gz").unlink()
    assert run(*how, "warped") == 0
    again = when()
    assert again[0] > first[0] and again[1] == first[1]
    assert run(*how, "inverse") == 0
    assert not (files / "warped.nii.gz").exists() and (files / "inverse.nii.gz").exists()
    assert (files / "mine.txt").read_text() == "mine"


def bids(folder, place):
    for name in ("sub-1/ses-1/anat/sub-1_ses-1_T1w", "sub-1/ses-2/anat/sub-1_ses-2_T1w",
                 "sub-1/ses-1/anat/sub-1_ses-1_T2w", "sub-2/anat/sub-2_T1w"):  # fmt: skip
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.nii.gz").write_bytes((folder / "h1.nii.gz").read_bytes())
    return place


def test_pairs_of_a_bids_dataset(folder, tmp_path, capsys):
    root = bids(folder, tmp_path / "d")
    how = ["--config", folder / "fast.toml", "--outputs", "warped"]
    assert run(root, "--output", tmp_path / "a", *how) == 0
    onto = "_to_sub-1_ses-1_T1w"
    within = {f"sub-1_ses-1_T2w{onto}", f"sub-1_ses-2_T1w{onto}"}
    assert set(os.listdir(tmp_path / "a" / "pairs")) == within
    to = ["--to", folder / "h0.nii.gz", "--suffix", "T1w"]
    assert run(root, "--output", tmp_path / "b", *how, *to) == 0
    names = {f"sub-{s}_T1w_to_h0" for s in ("1_ses-1", "1_ses-2", "2")}
    assert set(os.listdir(tmp_path / "b" / "pairs")) == names
    assert (
        run(root, "--output", tmp_path / "c", "--to", folder / "h0.nii.gz", "--suffix", "PD") == 3
    )
    assert "PD" in capsys.readouterr().err
    assert run(folder / "pairs.csv", "--output", tmp_path / "c", "--suffix", "T1w") == 2
    assert not (tmp_path / "c").exists()


def content(output):
    """All that does not tell how long something took, by file."""
    found = {
        str(path.relative_to(output)): file_hash(path)
        for path in sorted((output / "pairs").rglob("*"))
        if path.is_file() and path.name != "result.json"
    }
    for path in (output / "records").iterdir():
        said = json.loads(path.read_text())
        for key in ("host", "process", "started", "seconds", "timings_s", "files_sha256"):
            said.pop(key)
        found[path.name] = said
    summary = json.loads((output / "summary.json").read_text())
    found["summary"] = {k: summary[k] for k in ("pairs", "done", "failed", "missing")}
    found["hidden"] = [p.name for p in output.rglob(".*")]
    return found


@pytest.mark.slow
def test_killed_at_ten_moments_and_run_again(folder, child_environment, tmp_path):
    rng = np.random.default_rng(4)
    command = [sys.executable, "-m", "optreg", "batch", folder / "pairs.csv", "--device", "cpu"]
    command += ["--config", folder / "fast.toml", "--quiet", "--outputs", "inverse", "warped"]
    command += ["labels", "jacobian", "--output"]
    whole = np.inf  # the first may have to compile, any may be held up
    for name in ("first", "whole"):
        begin = time.perf_counter()
        subprocess.run([*command, tmp_path / name], env=child_environment, check=True)
        whole = min(whole, time.perf_counter() - begin)
    killed = 0
    for trial in range(10):
        jobs = ["--jobs", str(1 + trial % 2)]
        child = subprocess.Popen(
            [*command, tmp_path / f"b{trial % 5}", *jobs],
            env=child_environment,
            start_new_session=True,
        )
        time.sleep(whole * rng.uniform(0.3, 0.7))
        killed += child.poll() is None
        with contextlib.suppress(ProcessLookupError):  # it was done already
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert killed >= 5
    expected = content(tmp_path / "whole")
    for trial in range(5):
        subprocess.run([*command, tmp_path / f"b{trial}"], env=child_environment, check=True)
        assert content(tmp_path / f"b{trial}") == expected
        page = (tmp_path / f"b{trial}" / "index.html").read_text()
        assert page.count("thumbnail.jpg") >= 30
    assert expected["summary"]["done"] == 30 and not expected["hidden"]
