"""``optreg compare`` on fields: what cannot be judged is said, what is equal can be drawn."""

import csv
import json

import numpy as np
import pytest

from optreg import cli
from optreg.io import save_image, write_field
from optreg.report import comparison_pictures

NAMES = ("disp_0001_0000", "disp_0002_0000", "disp_0002_0001")


@pytest.fixture(scope="module")
def folder(blobs, tmp_path_factory):
    """Three images, their labels (9 is one voxel near a corner), a list of pairs, zero fields."""
    root = tmp_path_factory.mktemp("data")
    for name in ("labels", "fields"):
        (root / name).mkdir()
    labels = np.digitize(blobs.data, [0.01, 0.35, 0.6]).astype(np.uint8)
    labels[2, 2, 2] = 9
    for i in range(3):
        save_image(root / f"X_000{i}_0000.nii.gz", blobs.data, blobs.grid)
        save_image(root / f"labels/X_000{i}_0000.nii.gz", labels, blobs.grid)
    rows = [f"X_000{f}_0000.nii.gz,X_000{m}_0000.nii.gz" for f, m in ((1, 0), (2, 0), (2, 1))]
    (root / "pairs.csv").write_text("\n".join(["fixed,moving", *rows]) + "\n")
    for name in NAMES:
        still = np.zeros((3, *blobs.shape), np.float32)
        write_field(root / "fields" / f"{name}.nii.gz", still, blobs.grid)
    return root


@pytest.fixture
def others(folder, tmp_path):
    """A copy of the fields, to be damaged."""
    copy = tmp_path / "others"
    copy.mkdir()
    for path in (folder / "fields").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def compare(folder, output, *more, **methods):
    named = [f"{name}={path}" for name, path in methods.items()]
    argv = ["compare", *named, "--dataset", folder / "pairs.csv", "--output", output, *more]
    return cli.main([str(a) for a in argv])


def truncate(path):
    path.write_bytes(path.read_bytes()[:200])


def test_a_field_that_cannot_be_judged_is_named_and_does_not_count(
    folder, others, tmp_path, capsys
):
    truncate(others / f"{NAMES[1]}.nii.gz")
    output = tmp_path / "c"
    assert compare(folder, output, ours=folder / "fields", net=others) == 5
    printed = capsys.readouterr().out
    (line,) = (line for line in printed.splitlines() if line.startswith("failed: "))
    assert line.startswith(f"failed: net: {NAMES[1]}: ") and f"{NAMES[1]}.nii.gz" in line
    assert "2 pairs" in printed and "results in" in printed
    with open(output / "table.csv", newline="") as file:
        assert [row["pairs"] for row in csv.DictReader(file)] == ["2", "2"]
    page = (output / "comparison.html").read_text()
    assert "over 2 pairs that all methods have" in page and "has no values: net (1)" in page
    assert compare(folder, output, "--overwrite", "--quiet", ours=others, net=others) == 5
    assert capsys.readouterr().out == ""


def test_fields_none_of_which_can_be_judged_are_no_comparison(folder, others, tmp_path, capsys):
    for path in others.iterdir():
        truncate(path)
    assert compare(folder, tmp_path / "c", ours=folder / "fields", net=others) == 3
    printed = capsys.readouterr()
    assert printed.out.count("failed: net: ") == 3 and "results in" not in printed.out
    assert "cases.csv: holds no case that could be judged" in printed.err
    assert not (tmp_path / "c" / "comparison.html").exists()


def test_a_field_that_removes_a_label_is_not_better(folder, others, blobs, tmp_path, capsys):
    away = np.zeros((3, *blobs.shape), np.float32)
    away[0] = 5  # beyond the corner
    write_field(others / f"{NAMES[0]}.nii.gz", away, blobs.grid, overwrite=True)
    labels = ("--labels", folder / "labels")
    assert compare(folder, tmp_path / "c", *labels, net=others, ours=folder / "fields") == 0
    printed = capsys.readouterr().out
    assert "3 pairs" in printed and " inf " in printed and "HD95, mm  " in printed
    with open(tmp_path / "c" / "table.csv", newline="") as file:
        best, worst = csv.DictReader(file)
    assert best["method"] == "ours" and (best["hd95"], worst["hd95"]) == ("0.0", "inf")
    assert float(best["score"]) > float(worst["score"])
    assert "inf (0.000 ± 0.000 in 2 of 3)" in (tmp_path / "c" / "comparison.html").read_text()


def test_equal_fields_show_the_middle_whatever_the_name(folder, tmp_path, monkeypatch):
    drawn, draw = [], comparison_pictures.plot.draw_tile

    def spy(axes, views, plane, index, kind):
        drawn.append((index, views.fullest(plane)))
        return draw(axes, views, plane, index, kind)

    monkeypatch.setattr(comparison_pictures.plot, "draw_tile", spy)
    same = {"m$_$": folder / "fields", "n$_$": folder / "fields"}
    assert compare(folder, tmp_path / "c", "--labels", folder / "labels", **same) == 0
    assert len(drawn) == 3 * 5 and all(index == middle > 0 for index, middle in drawn)


def test_scores_of_other_labels_are_not_compared_in_silence(folder, tmp_path, capsys):
    """Equal fields, judged by all labels and by those of a configuration."""
    pair = {"fixed": "X_0001_0000.nii.gz", "moving": "X_0000_0000.nii.gz"}
    dice = {"metric": "dice", "name": "DSC", "labels": [1, 2]}
    content = {"eval_pairs": [pair], "evaluation_methods": [dice]}
    (folder / "d.json").write_text(json.dumps(content))
    argv = ["evaluate", "--fields", folder / "fields", "--labels", folder / "labels", "--quiet"]
    for name, dataset in (("all", folder / "pairs.csv"), ("two", folder / "d.json")):
        command = [*argv, "--dataset", dataset, "--output", tmp_path / name]
        assert cli.main([str(a) for a in command]) == 0
    for second in ("two", "all"):
        command = ["compare", f"a={tmp_path / 'all'}", f"b={tmp_path / second}"]
        command += ["--output", tmp_path / f"with-{second}"]
        assert cli.main([str(a) for a in command]) == 0
        warned = "b: judged by other labels than a" in capsys.readouterr().err
        noted = "by other labels" in (tmp_path / f"with-{second}/comparison.html").read_text()
        assert warned == noted == (second == "two")


def test_scores_are_where_the_help_says(folder, tmp_path):
    names = ("a b", "a_b", "net-2.1", "Net-2.1", "x.zip", ".hidden")
    methods = dict.fromkeys(names, folder / "fields")
    output = tmp_path / "c"
    assert compare(folder, output, "--quiet", **methods) == 0
    found = {path.name for path in (output / "scores").iterdir()}
    assert found == {"a_b", "a_b-2", "net-2.1", "Net-2.1-2", "x_zip", "_hidden"}
    # What has its own name keeps it, and the scores in it are those of the method.
    again = [f"{name}={output / 'scores' / name}" for name in ("a_b", "net-2.1")]
    assert cli.main(["compare", "--quiet", *again, "--output", str(tmp_path / "d")]) == 0


def test_options_of_fields_do_not_go_with_scores(folder, tmp_path, fails):
    methods = dict.fromkeys(("one", "two"), folder / "fields")
    assert compare(folder, tmp_path / "c", "--quiet", **methods) == 0
    scores = [f"{name}={tmp_path / 'c' / 'scores' / name}" for name in methods]
    for option in ("--dataset", "--labels", "--jobs"):
        value = 2 if option == "--jobs" else folder
        said = fails(2, "compare", *scores, option, value, output=tmp_path / "d")
        assert said.startswith(f"error: {option} does not go with scores")
