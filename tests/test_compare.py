"""Comparisons: over the pairs that all have, with numbers that agree everywhere they appear."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from optreg import cli
from optreg.compare import Comparison, Method, read_scores
from optreg.errors import InputError
from optreg.metrics.statistics import paired_effect, wilcoxon_p
from optreg.report import comparison as report


def method(name, shift, pairs=12, seed=0, skip=()):
    rng = np.random.default_rng(seed)
    cases, labels = {}, {}
    for i in range(pairs):
        base = 0.6 + 0.05 * np.random.default_rng(i).standard_normal()
        if i not in skip:
            dice = base + shift + 0.002 * rng.standard_normal()
            cases[f"p{i}"] = {
                "dice": dice, "hd95": 4 - 10 * shift + 0.05 * rng.standard_normal(),
                "ndv": 0.0, "sdlogj": 0.4 + shift + 0.01 * rng.standard_normal(),
            }  # fmt: skip
            labels[f"p{i}"] = {1: dice + 0.1, 2: dice - 0.1}
    return Method(name, cases, labels)


@pytest.fixture
def three():
    return Comparison((method("ours", 0.03, seed=1), method("other & co", 0.0, seed=2, skip=(3,)),
                       method("third", 0.029, seed=3)))  # fmt: skip


def test_only_common_pairs_count(three):
    assert "p3" not in three.pairs and len(three.pairs) == 11
    expected = np.mean([three.methods[0].cases[p]["dice"] for p in three.pairs])
    assert three.means["ours"]["dice"] == pytest.approx(expected)
    assert three.metrics == ("dice", "hd95", "ndv", "sdlogj")


def test_statistics_are_those_of_the_values(three):
    values = three.values("hd95")
    p = three.p_values("hd95")[("ours", "third")]
    assert p == pytest.approx(min(1, 3 * wilcoxon_p(values["ours"], values["third"])))
    # Low is better: the effect is turned.
    effect = three.effects("hd95")["other & co"]
    assert effect == paired_effect(-values["ours"], -values["other & co"]) and effect.low > 0
    assert three.effects("dice")["other & co"].d > 5
    assert three.scores["other & co"] == min(three.scores.values()) < 0.6
    assert three.scores["ours"] > 0.9
    assert three.ranks["other & co"] == min(three.ranks.values())
    assert list(three.label_differences("other & co")) in ([1, 2], [2, 1])


def test_tables_agree(three):
    rows = list(csv.DictReader(io.StringIO(report.csv_table(three))))
    assert [r["method"] for r in rows] == three.ordered and rows[0]["pairs"] == "11"
    latex = report.latex_table(three)
    assert r"other \& co" in latex and latex.count(r"\\") == 4
    best = re.findall(r"\\textbf\{([\d.]+)", latex)
    assert f"{max(m['dice'] for m in three.means.values()):.4f}" in best
    page = report.page(three, "A <title>")
    for row in rows:
        assert f"{float(row['dice']):.4f}" in latex and f"{float(row['dice']):.4f}" in page


class Tags(HTMLParser):
    """Counts tags, and fails on one that is closed but was not open."""

    void = frozenset({"meta", "img", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href") and not v.startswith("data:")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_whole_and_needs_nothing_else(three):
    tags = Tags()
    tags.feed(report.page(three, "A <title>"))
    assert tags.open == [] and tags.links == []
    assert tags.seen.count("section") == 7
    # Significance of Dice and HD95, boxes of three metrics, one scatter.
    assert tags.seen.count("img") == 2 + 3 + 1


def test_twenty_methods_and_forty_pairs():
    many = Comparison(tuple(method(f"method {i}", 0.002 * i, 40, i) for i in range(20)))
    assert len(many.p_values("dice")) == 190
    assert len(report.page(many, "many")) < 3_000_000


def test_parts_of_the_dataset_are_columns(three):
    ours, *others = three.methods
    groups = dict.fromkeys(list(ours.cases)[:4], "atlas to subject")
    parts = Comparison((replace(ours, groups=groups), *others))
    assert {k: len(v) for k, v in parts.groups.items()} == {"": 8, "atlas to subject": 3}
    page = report.page(parts, "x")
    assert "<h2>Tasks</h2>" in page and "<h2>Tasks</h2>" not in report.page(three, "x")
    for pairs in parts.groups.values():
        mean = np.mean([others[1].cases[p]["dice"] for p in pairs])
        assert f"<td>{mean:.4f}</td>" in page


def test_one_pair_is_enough():
    two = Comparison((method("a", 0, 1), method("b", 0.1, 1)))
    assert "Means" in report.page(two, "x")
    assert math.isnan(two.effects("dice")["b"].d)


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ((method("a", 0),), "two or more"),
        ((method("a", 0), method("a", 0)), "different names"),
        ((method("a", 0, 3), method("b", 0, 3, skip=(0, 1, 2))), "no pair that all"),
    ],
)
def test_nothing_to_compare(methods, words):
    with pytest.raises(InputError, match=words):
        Comparison(methods)


@pytest.fixture
def folders(tmp_path):
    for name, shift in (("a", 0.0), ("b", 0.01)):
        (tmp_path / name).mkdir()
        lines = ["pair,group,dice,hd95,tre,ndv,sdlogj"]
        lines += [f"p{i},,{0.6 + shift + i / 100},{4 - shift},2.5,0.0,0.4" for i in range(6)]
        lines.append("p9,,0.5,,,0.0,0.4")
        (tmp_path / name / "cases.csv").write_text("\n".join(lines) + "\n")
        (tmp_path / name / "labels.csv").write_text("pair,group,label,dice,hd95\np0,,4,0.7,\n")
    return tmp_path


def test_command(folders, capsys):
    argv = ["compare", f"A={folders / 'a'}", f"B={folders / 'b'}", "--output", str(folders / "o")]
    assert cli.main(argv) == 0
    assert sorted(p.name for p in (folders / "o").iterdir()) == [
        "comparison.html", "table.csv", "table.tex",
    ]  # fmt: skip
    printed = capsys.readouterr().out
    assert "7 pairs" in printed and "0.6250" not in printed and "TRE" in printed
    assert read_scores("A", folders / "a").labels == {"p0": {4: 0.7}}
    assert cli.main(argv) == 3 and "exists" in capsys.readouterr().err
    assert cli.main([*argv, "--overwrite", "--quiet"]) == 0


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["A=a"], 2, "two or more"),
        (["A=a", "B=none"], 3, "no such file"),
        (["A=a", "A=b"], 3, "different names"),
    ],
)
def test_command_refuses(folders, capsys, monkeypatch, argv, code, words):
    monkeypatch.chdir(folders)
    assert cli.main(["compare", *argv, "--output", "o"]) == code
    assert words in capsys.readouterr().err
    assert not (folders / "o" / "comparison.html").exists()


def test_command_wants_names(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["compare", "a", "b", "--output", "o"])
    assert stop.value.code == 2 and "NAME=PATH" in capsys.readouterr().err
