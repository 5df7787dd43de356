"""The search of settings: which are tried, which is best, what is kept."""

import inspect
import json
import shutil
from importlib import import_module

import nibabel as nib
import numpy as np
import pytest

import compare
import elastix
import greedy
import methods
import niftyreg
import process
import tune
from search_spaces import SPACES, Candidate, Space
from tuning_pairs import cut, read_box, tuning_pairs


@pytest.fixture
def three_people(dataset_folder):
    """The small data set with a third person, who is like the first, and its list of pairs."""
    for place in ("imagesVal", "labelsVal"):
        folder = dataset_folder / place
        shutil.copy(folder / "SMALL_1000_0000.nii.gz", folder / "SMALL_1002_0000.nii.gz")
    pairs = [("1001", "1000"), ("1002", "1000")]
    rows = [
        {
            "fixed": f"./imagesVal/SMALL_{f}_0000.nii.gz",
            "moving": f"./imagesVal/SMALL_{m}_0000.nii.gz",
        }
        for f, m in pairs
    ]
    (dataset_folder / "dataset.json").write_text(json.dumps({"validation": rows}))
    return dataset_folder


def test_pairs_are_those_of_no_evaluation(three_people):
    (pair,) = tuning_pairs(three_people, ["1001_1002"])
    assert pair.name == "1001_0000_1002_0000"
    assert pair.images.file_name == "disp_1001_1002.nii.gz"
    assert pair.labels == (0, 1, 2, 101, 102)
    for judged in ("1001_1000", "1000_1001"):
        with pytest.raises(ValueError, match="judged in evaluation_segmentation"):
            tuning_pairs(three_people, [judged])


@pytest.mark.parametrize("name", ["1001", "1001_1001", "1001_9999", "1001_1002_1000", "a_b", ""])
def test_names_that_are_no_pairs(three_people, name):
    with pytest.raises(ValueError, match=r"FFFF_MMMM, two people of dataset\.json"):
        tuning_pairs(three_people, [name])


def test_a_part_of_the_images_stays_where_it_is(three_people, tmp_path):
    (pair,) = tuning_pairs(three_people, ["1001_1002"])
    box = read_box("3:20,5:31,0:9")
    part = cut(pair, box, tmp_path / "part")
    assert (part.name, part.labels) == (pair.name, pair.labels)
    for place in ("imagesVal", "labelsVal"):
        whole = nib.load(pair.data / place / pair.images.fixed.name)
        small = nib.load(part.data / place / part.images.fixed.name)
        assert small.shape == (17, 26, 9)
        np.testing.assert_array_equal(small.dataobj, np.asarray(whole.dataobj)[3:20, 5:31, :9])
        np.testing.assert_allclose(small.affine[:3, 3], (whole.affine @ [3, 5, 0, 1])[:3])
        np.testing.assert_allclose(small.affine[:3, :3], whole.affine[:3, :3])


@pytest.mark.parametrize("text", ["", "1:2,3:4", "1:2,3:4,6:5", "1:2,3:4,5", "a:b,1:2,3:4"])
def test_boxes_that_are_none(text):
    with pytest.raises(ValueError, match="is not X0:X1"):
        read_box(text)


def test_a_change_of_parameters_keeps_the_others():
    start = {"a": 1, "parameters": {"x": ["1"], "y": ["2"]}}
    changed = tune.combined(start, {"b": 2, "parameters": {"y": ["3"]}})
    assert changed == {"a": 1, "b": 2, "parameters": {"x": ["1"], "y": ["3"]}}
    assert start["parameters"]["y"] == ["2"]
    assert tune.combined(start, {"a": 5})["a"] == 5


def _space(starts, moves):
    return Space(
        "none",
        tuple(Candidate(s, "start") for s in starts),
        tuple(Candidate(m, "move") for m in moves),
    )


def _numbers(dice, ndv=0.0):
    return {"dice": {"mean": dice}, "ndv_percent": {"mean": ndv}}


def test_moves_start_from_the_best_so_far():
    dice = {
        "{}": 0.5,
        "{'a': 1}": 0.6,
        "{'a': 1, 'b': 1}": 0.7,
        "{'a': 1, 'b': 1, 'c': 1}": 0.65,
        "{'a': 2, 'b': 1}": 0.72,
    }
    space = _space([{}, {"a": 1}], [{"b": 1}, {"c": 1}, {"a": 2}, {"d": 1}])
    trials = tune.search(space, 5, lambda s: (_numbers(dice[str(s)]), ""), 1.0)
    assert [str(trial.settings) for trial in trials] == list(dice)
    assert tune.best(trials, 1.0) is trials[-1]


def test_what_folds_too_much_or_fails_is_no_start_and_counts():
    found = {
        "{}": (_numbers(0.5, 0.2), ""),
        "{'a': 1}": (_numbers(0.9, 0.6), ""),
        "{'b': 1}": ({}, "took too long"),
        "{'c': 1}": (_numbers(0.55, 0.5), ""),
    }
    space = _space([{}], [{"a": 1}, {"b": 1}, {"c": 1}])
    trials = tune.search(space, 4, lambda s: found[str(s)], 0.5)
    assert [str(trial.settings) for trial in trials] == list(found)
    assert tune.best(trials, 0.5).settings == {"c": 1}
    assert tune.best(trials, 0.1) is None
    assert trials[2].failure == "took too long"


def test_nothing_is_tried_twice_and_a_space_can_be_too_small():
    space = _space([{"a": 1}], [{"a": 1}, {"a": 2}])
    calls = []

    def evaluate(settings):
        calls.append(settings)
        return _numbers(0.5), ""

    assert len(tune.search(space, 2, evaluate, 1.0)) == 2
    assert calls == [{"a": 1}, {"a": 2}]
    with pytest.raises(ValueError, match="has 2 settings"):
        tune.search(space, 3, evaluate, 1.0)


_CHECKS = {
    "greedy.py": lambda settings: greedy.command(threads=1, **settings),
    "elastix.py": lambda settings: elastix.chosen_parameters(**settings),
    "niftyreg.py": lambda settings: niftyreg.arguments(**settings),
}


@pytest.mark.parametrize("family", SPACES)
@pytest.mark.parametrize("improving", [True, False])
def test_every_setting_is_one_of_its_method(family, improving):
    space = SPACES[family]
    base = methods.named(space.base)
    run = inspect.signature(import_module(base.script.removesuffix(".py")).run)
    commands = []

    def evaluate(settings):
        given = {**base.settings, **settings}
        run.bind("fixed", "moving", binary="x", **given) if base.needs else run.bind(
            "fixed", "moving", **given
        )
        check = _CHECKS.get(base.script, lambda s: s)
        commands.append(str(check(given)))
        return _numbers(0.5 + 0.01 * len(commands) * (1 if improving else -1)), ""

    count = len(space.starts) + len(space.moves)
    trials = tune.search(space, 7, evaluate, 1.0)
    assert len(set(commands)) == len(trials) == 7 <= count
    assert all(candidate.why for candidate in (*space.starts, *space.moves))


@pytest.fixture
def fake_method(monkeypatch, smooth_disp):
    """A method whose field is right at scale 1 and does not exist below 0; the list of its runs."""
    calls = []

    def call(python, script, pair, stem, *, threads, settings, limit_s):
        scale = settings.get("scale", 0.5)
        calls.append(scale)
        if scale < 0:
            raise RuntimeError("fake | ended with 1")
        shape = nib.load(pair[0]).shape
        stem.parent.mkdir(parents=True, exist_ok=True)
        disp = np.float32(scale * smooth_disp)[:, : shape[0], : shape[1], : shape[2]]
        np.save(process.beside(stem, ".npy"), np.ascontiguousarray(disp))
        record = {"seconds": 2.0, "peak_memory_mb": 10.0, "settings": dict(settings)}
        process.write_text(process.beside(stem, ".run.json"), json.dumps(record))
        return record

    space = Space(
        "optreg-fast",
        (Candidate({}, "too little"), Candidate({"scale": 1.0}, "right")),
        (Candidate({"scale": -1}, "impossible"), Candidate({"scale": 0.2}, "next to nothing")),
    )
    monkeypatch.setattr(process, "call", call)
    monkeypatch.setitem(SPACES, "fake", space)
    return calls


def _command(folder, out, *more):
    words = ["--data", str(folder), "--output", str(out), "--methods", "fake"]
    return [*words, "--pair", "1001_1002", *more]


def test_one_command_searches_and_goes_on_where_it_stopped(
    three_people, tmp_path, fake_method, capsys
):
    out = tmp_path / "out"
    assert tune.main(_command(three_people, out, "--budget", "2")) == 0
    assert tune.main(_command(three_people, out, "--budget", "4")) == compare.SOME_FAILED
    assert fake_method == [0.5, 1.0, -1, 0.2]
    content = json.loads((out / "tuning.json").read_text())
    assert content["pairs"] == ["1001_1002"] and content["budget"] == 4
    fake = content["methods"]["fake"]
    assert fake["best"] == {"scale": 1.0}
    assert [trial["settings"] for trial in fake["trials"]] == [
        {},
        {"scale": 1.0},
        {"scale": -1},
        {"scale": 0.2},
    ]
    dice = [t["numbers"]["dice"]["mean"] for t in fake["trials"] if t["numbers"]]
    assert dice[1] > dice[0] > dice[2]
    text = (out / "tuning.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| fake")]
    marks = [row.rstrip(" |").split("| ")[-1].strip() for row in rows]
    assert marks[1] == "best" and marks[0] != "best" and marks[3] != "best"
    assert "fake \\| ended with 1" in rows[2]
    assert text in capsys.readouterr().out
    assert not list(out.rglob("*.npy"))


def test_results_of_a_part_are_not_those_of_the_whole(three_people, tmp_path, fake_method):
    out = tmp_path / "out"
    budget = ("--budget", "1")
    for box in ((), ("--box", "0:20,0:30,0:30"), ("--box", "0:24,0:30,0:30"), ()):
        assert tune.main(_command(three_people, out, *budget, *box)) == 0
    assert len(fake_method) == 3
    assert len(list(out.glob("fake@*"))) == 3


@pytest.mark.usefixtures("fake_method")
@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--methods", "fake,ants"), "nothing to search for ants"),
        (("--budget", "9"), "has 4 settings"),
        (("--pair", "1001_1000"), "is judged"),
        (("--box", "1:2"), "is not X0:X1"),
        (("--set", "demons.sigma_vox=2"), "'demons' is not among"),
    ],
)
def test_what_cannot_be_searched_is_said(three_people, tmp_path, capsys, more, words):
    with pytest.raises(SystemExit) as ended:
        tune.main(_command(three_people, tmp_path / "out", *more))
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_settings_in_a_cell():
    settings = {"parameters": {"Metric": ["A", "B"]}, "bending": 1.0, "iterations": [9, 5]}
    assert tune.shown(settings, "elastix") == "Metric A, B; bending 1.0; iterations 9, 5"
    assert tune.shown({}, "elastix") == "`elastix`"
