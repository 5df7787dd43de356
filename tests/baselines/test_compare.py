"""The comparison: numbers by hand, resuming, tables over the same pairs."""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import compare
import methods
import optreg
import process
import tables
from dataset import read_task, read_tasks
from judge import judge
from optreg.errors import InputError
from optreg.io import load_image, write_field


def test_pairs_carry_the_labels_of_any_of_their_tasks(dataset_folder):
    tasks = read_tasks(dataset_folder, ["segmentation", "landmarks"])
    (pair,) = tasks["landmarks"]
    assert pair.name == "1001_0000_1000_0000"
    assert [p.name for p in (pair.images.fixed, pair.images.moving)] == [
        "SMALL_1001_0000.nii.gz",
        "SMALL_1000_0000.nii.gz",
    ]
    assert pair.labels == (0, 1, 2, 101, 102)
    assert read_task(dataset_folder, "landmarks")[0].labels is None


@pytest.mark.parametrize("content", ["no json", "[]", '{"eval_pairs": []}'])
def test_unusable_tasks_are_refused(dataset_folder, content):
    (dataset_folder / "evaluation_segmentation.json").write_text(content)
    with pytest.raises(InputError, match="evaluation_segmentation"):
        read_task(dataset_folder, "segmentation")


def test_a_missing_image_is_named(dataset_folder):
    (dataset_folder / "imagesVal" / "SMALL_1000_0000.nii.gz").unlink()
    with pytest.raises(InputError, match="SMALL_1000_0000"):
        read_task(dataset_folder, "segmentation")


def test_numbers_by_hand(dataset_folder, smooth_disp):
    pair = read_task(dataset_folder, "segmentation")[0]
    numbers = judge(pair, smooth_disp, hd95=True)
    fixed, moving = (
        np.asarray(load_image(dataset_folder / "labelsVal" / path.name).data, int)
        for path in (pair.images.fixed, pair.images.moving)
    )
    positions = np.indices(fixed.shape) + smooth_disp
    warped = ndimage.map_coordinates(moving, positions, order=0)
    dice = {
        label: 2 * np.sum((fixed == label) & (warped == label))
        / (np.sum(fixed == label) + np.sum(warped == label))
        for label in pair.labels
    }  # fmt: skip
    assert numbers["dice"] == pytest.approx(np.mean(list(dice.values())))
    assert numbers["dice_cortex"] == pytest.approx((dice[101] + dice[102]) / 2)
    assert numbers["dice_other"] == pytest.approx((dice[1] + dice[2]) / 2)
    assert numbers["dice_without_background"] < numbers["dice"]
    assert numbers["tre_mm"] == pytest.approx(0, abs=1e-3)
    assert numbers["ndv_percent"] == 0
    assert numbers["hd95_mm"] < 2
    assert "inverse_mean_vox" not in numbers
    json.dumps(numbers, allow_nan=False)


def _options(folder, output, **changes):
    options = {"envs": output, "threads": 1, "output": output, "drop_fields": False}
    options["time_limit"] = None
    return Namespace(data=folder, **{**options, **changes})


@pytest.fixture
def oracle(monkeypatch, smooth_disp):
    """A method that knows the answer, and the list of its calls."""
    calls = []

    def call(python, script, pair, stem, *, threads, settings, limit_s):
        calls.append(stem.name)
        stem.parent.mkdir(parents=True, exist_ok=True)
        np.save(process.beside(stem, ".npy"), smooth_disp)
        record = {"seconds": 1.5, "peak_memory_mb": 10.0, "settings": dict(settings)}
        process.write_text(process.beside(stem, ".run.json"), json.dumps(record))
        return record

    monkeypatch.setattr(process, "call", call)
    return calls


def test_nothing_is_done_twice(dataset_folder, tmp_path, oracle):
    pairs = read_task(dataset_folder, "segmentation")
    args = _options(dataset_folder, tmp_path / "out")
    wanted = [methods.named("none"), methods.named("optreg-fast")]
    first, failures = compare.collect(wanted, pairs * 2, args)
    again, _ = compare.collect(wanted, pairs, args)
    assert not failures and first == again and len(oracle) == 1
    (numbers,) = first["optreg-fast"].values()
    assert numbers["seconds"] == 1.5
    assert numbers["dice"] > first["none"][pairs[0].name]["dice"] + 0.02

    # HD95 is added later from the field that is there.
    more, _ = compare.collect(wanted, pairs, args, hd95=True)
    assert "hd95_mm" in more["optreg-fast"][pairs[0].name] and len(oracle) == 1


@pytest.mark.parametrize("suffix", [".metrics.json", ".run.json"])
def test_results_of_other_settings_are_not_passed_off(dataset_folder, tmp_path, oracle, suffix):
    pairs = read_task(dataset_folder, "segmentation")
    args = _options(dataset_folder, tmp_path / "out")
    method = methods.named("optreg-fast")
    compare.collect([method], pairs, args)
    (args.output / method.name / f"{pairs[0].name}{suffix}").unlink()
    changed = methods.named("optreg-fast", {"preset": "accurate"})
    records, failures = compare.collect([changed], pairs, args)
    assert records == {method.name: {}}
    assert "other settings" in failures[method.name][pairs[0].name]


def test_fields_can_be_dropped(dataset_folder, tmp_path, oracle):
    pairs = read_task(dataset_folder, "segmentation")
    args = _options(dataset_folder, tmp_path / "out", drop_fields=True)
    compare.collect([methods.named("optreg-fast")], pairs, args)
    assert not list(args.output.rglob("*.npy"))
    assert list(args.output.rglob("*.metrics.json"))


@pytest.mark.usefixtures("oracle")
def test_one_command_makes_the_table(dataset_folder, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["--data", str(dataset_folder), "--output", str(out), "--methods", "none,optreg-fast"]
    assert compare.main(command) == 0
    content = json.loads((out / "table.json").read_text())
    assert list(content) == ["segmentation", "landmarks"]
    assert content["segmentation"]["pairs"] == ["1001_0000_1000_0000"]
    assert content["landmarks"]["methods"]["none"]["tre_mm"]["mean"] > 0.3
    text = (out / "table.md").read_text()
    assert "segmentation: 1 of 1 pairs" in text and text.count("| optreg-fast") == 2
    assert text in capsys.readouterr().out


def test_ready_fields_are_judged_like_those_of_a_method(dataset_folder, tmp_path, oracle):
    (pair,) = read_task(dataset_folder, "segmentation")
    args = _options(dataset_folder, tmp_path / "out")
    records, _ = compare.collect([methods.named("optreg-fast")], [pair], args)
    disp = np.load(next((tmp_path / "out").rglob("*.npy")))
    folder = tmp_path / "network"
    folder.mkdir()
    write_field(folder / "disp_1001_1000.nii.gz", disp, load_image(pair.images.fixed).grid)
    ready = methods.named("fields-network", {"folder": str(folder)})
    theirs, failures = compare.collect([ready], [pair], args)
    assert not failures
    ours, given = (found[pair.name] for found in (*records.values(), *theirs.values()))
    assert len(given) > 8 and "seconds" not in given
    del given["settings"]
    assert given.items() <= ours.items()

    (folder / "disp_1001_1000.nii.gz").unlink()
    (args.output / "fields-network" / f"{pair.name}.metrics.json").unlink()
    _, failures = compare.collect([ready], [pair], args)
    assert "disp_1001_1000.nii.gz" in failures["fields-network"][pair.name]


@pytest.mark.usefixtures("oracle")
def test_a_method_that_fails_has_a_row_and_stops_nobody(dataset_folder, tmp_path, capsys):
    out = tmp_path / "out"
    folder = tmp_path / "empty"
    folder.mkdir()
    command = ["--data", str(dataset_folder), "--output", str(out), "--tasks", "segmentation"]
    command += ["--methods", "fields-net,none,optreg-fast", "--set", f"fields-net.folder={folder}"]
    assert compare.main(command) == compare.SOME_FAILED
    content = json.loads((out / "table.json").read_text())["segmentation"]
    assert list(content["methods"]) == ["none", "optreg-fast"]
    assert "disp_1001_1000" in content["failed"]["fields-net"]["1001_0000_1000_0000"]
    assert "| fields-net | 1 of 1 |" in (out / "table.md").read_text()
    assert "error: fields-net" in capsys.readouterr().err


def test_settings_from_the_command_line():
    given = [compare._setting(text) for text in ("fields-a.folder=/x/y", "demons.sigma_vox=2")]
    wanted = compare.wanted_methods("none,fields-a,demons", given)
    assert [method.settings for method in wanted] == [{}, {"folder": "/x/y"}, {"sigma_vox": 2}]
    with pytest.raises(ValueError, match="'demons' is not among"):
        compare.wanted_methods("none", given[1:])


@pytest.mark.parametrize("text", ["demons", "demons=2", "demons.sigma_vox=", ".a=1"])
def test_settings_that_are_none(dataset_folder, tmp_path, capsys, text):
    command = ["--data", str(dataset_folder), "--output", str(tmp_path), "--set", text]
    with pytest.raises(SystemExit) as ended:
        compare.main(command)
    assert ended.value.code == 2
    assert "METHOD.KEY=VALUE" in capsys.readouterr().err


def test_an_unknown_method_ends_before_any_work(dataset_folder, tmp_path, capsys):
    command = ["--data", str(dataset_folder), "--output", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        compare.main([*command, "--methods", "none,greedy-best"])
    assert ended.value.code == 2
    assert "greedy-best" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_means_are_over_pairs_that_all_have():
    records = {
        "a": {"p": {"dice": 0.5, "tre_mm": 1.0}, "q": {"dice": 0.7}},
        "b": {"p": {"dice": 0.6}},
        "broken": {},
    }
    common = tables.common_pairs(records)
    assert common == ["p"]
    summary = tables.summarize(records, common)
    assert summary["a"]["dice"] == {"mean": 0.5, "std": 0.0, "max": 0.5, "n": 1}
    assert list(summary) == ["a", "b"]
    both = tables.summarize({"a": records["a"]}, ["p", "q"])
    assert both["a"]["dice"]["mean"] == pytest.approx(0.6)
    assert "tre_mm" not in both["a"]  # known for one of the two pairs only


def test_contrasts_are_compared_with_the_same_people():
    records = {
        "a": {
            "1_0000_2_0000": {"dice": 0.7},
            "3_0000_4_0000": {"dice": 0.8},
            "5_0000_6_0000": {"dice": 0.1},
            "1_0000_2_0002": {"dice": 0.6},
            "3_0000_4_0002": {"dice": 0.4},
            "1_0000_2_0004": {"dice": 0.5},
            "7_0000_8_0004": {"dice": 0.9},  # without its counterpart
        },
        "b": {"1_0000_2_0002": {"dice": 0.3}},
    }
    text = tables.by_contrast(records, sorted(records["a"]))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    assert rows == [
        ["a", "0002", "2", "0.5000", "0.7500", "-0.2500"],
        ["a", "0004", "1", "0.5000", "0.7000", "-0.2000"],
    ]
    assert tables.by_contrast(records, ["1_0000_2_0000", "5_0000_6_0000"]) == ""


def test_optreg_runs_as_a_baseline(dataset_folder, tmp_path, monkeypatch):
    # Also where the tests run in a source tree that is not installed.
    monkeypatch.setenv("PYTHONPATH", str(Path(optreg.__file__).parents[1]))
    args = _options(dataset_folder, tmp_path / "out")
    pairs = read_task(dataset_folder, "segmentation")
    wanted = [methods.named("none"), methods.named("optreg-fast")]
    records, failures = compare.collect(wanted, pairs, args)
    assert not failures
    before, after = (records[m.name][pairs[0].name] for m in wanted)
    assert after["dice"] > before["dice"] + 0.02
    assert after["tre_mm"] < before["tre_mm"]
    assert after["folded_voxels"] == 0
    assert after["inverse_mean_vox"] < 0.2
    assert after["seconds"] < after["process_seconds"]
