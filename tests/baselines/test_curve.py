"""Dice against roughness: who lies above whom."""

import json

import pytest

import curve

OURS = [(0.4, 0.60), (0.6, 0.70), (0.8, 0.68)]


@pytest.mark.parametrize(
    ("roughness", "expected"),
    [(0.4, 0.60), (0.5, 0.65), (0.6, 0.70), (0.7, 0.70), (2.0, 0.70), (0.39, None)],
)
def test_height_between_and_beyond_the_points(roughness, expected):
    found = curve.height(OURS[::-1], roughness)
    assert found == (None if expected is None else pytest.approx(expected))


def test_verdicts():
    curves = {
        "optreg-default": [(f"o{i}", point) for i, point in enumerate(OURS)],
        "optreg-fast": [("f", (0.3, 0.66))],
        "greedy": [("below", (0.5, 0.655)), ("above", (0.7, 0.71)), ("left", (0.2, 0.5))],
    }
    found = {v["setting"]: v for v in curve.verdicts(curves)}
    assert {name: v["above"] for name, v in found.items()} == {
        "below": False,
        "above": True,
        "left": None,
    }
    assert found["below"]["ours"] == pytest.approx(0.66)  # the higher of our two curves


def test_files_say_the_same(tmp_path, capsys):
    curves = {
        "optreg-default": [("optreg-default@1", (0.4, 0.6)), ("optreg-default@2", (0.3, 0.5))],
        "greedy-tuned": [("greedy-tuned@0.5", (0.5, 0.61))],
        "ants-syn": [],
    }
    summary = {
        name: {"sdlogj": {"mean": x, "std": 0.0, "max": x, "n": 1}}
        for c in curves.values()
        for name, (x, _) in c
    }
    curve.write(tmp_path, curves, summary)
    text = (tmp_path / "curve.md").read_text()
    assert "above the curve of optreg: greedy-tuned@0.5." in text
    assert text in capsys.readouterr().out
    assert json.loads((tmp_path / "curve.json").read_text())["verdicts"][0]["above"] is True
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_settings_from_the_command_line(tmp_path, capsys):
    with pytest.raises(SystemExit):
        curve.main(["--data", ".", "--output", str(tmp_path), "--values", "greedy-tuned=a"])
    assert "greedy-tuned=a" in capsys.readouterr().err
