"""A picture, a table or a report that cannot be made costs that, never the registration."""

import inspect
import json
import os
import shutil
import sys

import pytest
from commands import command_line

import optreg
from optreg import cli, lines, plot, views
from optreg.io import load_image, read_field
from optreg.io import tables as io_tables
from optreg.metrics import evaluate
from optreg.report import (
    comparison,
    comparison_figures,
    comparison_pictures,
    curves,
    numbers,
    outcome,
    pair,
    pictures,
    segmentation,
)

FIELDS = {"disp.nii.gz", "inverse.nii.gz", "warped.nii.gz", "config.toml", "result.json"}
STEPS = {outcome.judge, outcome.write_fields, outcome.write_outcome, comparison.page}
"""Functions that let others fail."""


def functions(*modules):
    """All functions that are written in some modules."""
    return [
        pytest.param(f, id=f"{m.__name__.removeprefix('optreg.')}.{name}")
        for m in modules
        for name, f in vars(m).items()
        if inspect.isfunction(f) and f.__module__ == m.__name__ and f not in STEPS
    ]


@pytest.fixture
def broken(monkeypatch):
    """Function that lets another fail wherever it is known, and tells how often it did."""

    def breaks(function):
        calls = []

        def fault(*args, **kwargs):
            calls.append(1)
            raise ValueError("broken data stream when writing image file")

        for name, module in list(sys.modules.items()):
            if name.split(".")[0] == "optreg":
                for key, value in list(vars(module).items()):
                    if value is function:
                        monkeypatch.setattr(module, key, fault)
        return calls

    return breaks


@pytest.fixture(scope="module")
def found(files):
    """A registration of a part of the pair, which is done once; and its label maps."""
    cut = (slice(8, 32), slice(8, 38), slice(10, 34))
    images = {}
    for name in ("fixed", "moving", "fixed_seg", "moving_seg"):
        image = load_image(files / f"{name}.nii.gz")
        images[name] = optreg.Image(image.data[cut].copy(), image.grid.crop(cut), image.name)
    result = optreg.register(images["fixed"], images["moving"], preset="fast", device="cpu")
    return result, images


@pytest.fixture
def run_register(found, files, tmp_path, monkeypatch, capsys):
    """Function that runs ``optreg register`` without the work; its code and what it said."""
    result, images = found

    def run(*more, **options):
        monkeypatch.setattr("optreg.registration.register", lambda *a, **k: result)
        monkeypatch.setattr("optreg.io.labels.load_labels", lambda p: images[p.split("/")[-1][:-7]])
        given = {name: files / f"{name}.nii.gz" for name in ("fixed", "moving")}
        labels = {f"{name}_labels": files / f"{name}_seg.nii.gz" for name in given}
        argv = command_line("register", *more, **given, **labels, **options, output=tmp_path / "r")
        code = cli.main(argv)
        return code, capsys.readouterr()

    return run


HIT = set()


@pytest.mark.parametrize(
    "function",
    [
        *functions(plot, views, lines, pair, pictures, numbers, curves),
        evaluate,
        io_tables.json_text,
    ],
)
def test_fields_are_there_whatever_fails_in_pictures_and_reports(
    function, broken, run_register, tmp_path
):
    calls = broken(function)
    code, said = run_register()
    there = set(os.listdir(tmp_path / "r"))
    assert there >= FIELDS
    assert read_field(tmp_path / "r" / "disp.nii.gz").disp.any()
    everything = there >= {"metrics.json", "report.html", "overview.png", "warped_labels.nii.gz"}
    if not calls:
        assert code == 0 and everything
        return
    HIT.add(function)
    assert code == 5
    assert "is missing: ValueError: broken data stream" in said.err and "missing  " in said.out
    assert not [name for name in there if name.startswith(".") or name.endswith(".part")]


def test_those_functions_were_tried():
    # What is never called is never broken: most of them must have been.
    assert len(HIT) > 45 or not HIT, sorted(f.__name__ for f in HIT)


def test_what_was_asked_for_is_there(run_register, tmp_path):
    code, said = run_register(outputs="jacobian")
    assert code == 0, said.err
    assert set(os.listdir(tmp_path / "r")) == {
        "disp.nii.gz", "log_jacobian.nii.gz", "config.toml", "result.json", "metrics.json",
    }  # fmt: skip


def test_lack_of_memory_and_of_room_cost_no_field(run_register, tmp_path, monkeypatch):
    def out_of_memory(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr("optreg.report.pair._page", out_of_memory)
    code, said = run_register("--debug")
    assert code == 5 and "report.html is missing: MemoryError" in said.err
    assert "Traceback" in said.err
    assert set(os.listdir(tmp_path / "r")) >= FIELDS | {"overview.png", "metrics.json"}


def test_field_is_in_its_place_before_pictures_begin(run_register, tmp_path, monkeypatch):
    """What ends the process itself, in a library of pictures, cannot take it away."""
    seen = []

    def look(*args, **kwargs):
        seen.append(set(os.listdir(tmp_path / "r")))
        raise KeyboardInterrupt

    monkeypatch.setattr("optreg.views.collect", look)
    code, _ = run_register()
    assert code == 130 and seen[0] >= FIELDS
    assert set(os.listdir(tmp_path / "r")) == FIELDS


@pytest.mark.parametrize("function", functions(comparison, comparison_figures, comparison_pictures))
def test_tables_of_a_comparison_are_there_whatever_fails_in_its_page(
    function, broken, scores, tmp_path, capsys
):
    calls = broken(function)
    code = cli.main(command_line("compare", *scores, output=tmp_path / "c"))
    said, there = capsys.readouterr(), set(os.listdir(tmp_path / "c"))
    assert len(there & {"table.csv", "table.tex", "comparison.html"}) >= 2
    assert code == (5 if calls else 0), said.err
    if calls:
        assert "is missing: ValueError" in said.err


@pytest.fixture(scope="module")
def scores(files, tmp_path_factory):
    """Scores of two methods on eight pairs in two groups, as options of ``optreg compare``.

    The images of one of them are there to be drawn.
    """
    images = {role: str(files / f"{role}.nii.gz") for role in ("fixed", "moving")}
    folder = tmp_path_factory.mktemp("scores")
    for method, gain in (("ours", 0.02), ("theirs", 0.0)):
        place = folder / method
        place.mkdir()
        shutil.copy(files / "disp.nii.gz", place / "disp_7_0.nii.gz")
        sources = {"fields": str(place), "pairs": {"disp_7_0": images}}
        (place / "sources.json").write_text(json.dumps(sources))
        rows = ["pair,group,dice,hd95,tre,ndv,sdlogj"]
        per_label = ["pair,label,dice,hd95"]
        for i in range(8):
            dice = 0.6 + 0.01 * i + gain * (1 + 0.1 * i)
            rows.append(f"disp_{i}_0,{'ab'[i % 2]},{dice},{3 - dice},{2.5 - gain},0.0,0.4")
            per_label += [f"disp_{i}_0,{label},{dice + label / 100},2.0" for label in (1, 2)]
        (place / "cases.csv").write_text("\n".join(rows) + "\n")
        (place / "labels.csv").write_text("\n".join(per_label) + "\n")
    return [f"{name}={folder / name}" for name in ("ours", "theirs")]


@pytest.mark.parametrize("function", functions(segmentation))
def test_labels_are_there_whatever_fails_in_their_picture(
    function, broken, files, tmp_path, capsys
):
    calls = broken(function)
    argv = command_line(
        "propagate", "--atlas", files / "moving.nii.gz", files / "moving_seg.nii.gz",
        target=files / "fixed.nii.gz", output=tmp_path / "p", preset="fast", threads=1,
    )  # fmt: skip
    code, said = cli.main(argv), capsys.readouterr()
    assert {"labels.nii.gz", "result.json"} <= set(os.listdir(tmp_path / "p"))
    assert code == (5 if calls else 0), said.err
