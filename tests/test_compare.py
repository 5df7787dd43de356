"""Comparisons: over the pairs that all have, with numbers that agree everywhere they appear."""

from __future__ import annotations

import csv
import io
import math
import re
import statistics
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
    page = report.page(two, "x")
    assert "Means" in page and "nan" not in re.sub("<[^>]*>", "", page)
    assert math.isnan(two.effects("dice")["b"].d)


def test_spread_is_that_of_a_sample(three):
    values = [three.methods[0].cases[p]["dice"] for p in three.pairs]
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    # With the other divisor the last digit would be another one.
    assert f"{deviation:.4f}" != f"{statistics.pstdev(values):.4f}"
    assert f">{mean:.4f} ± {deviation:.4f}<" in report.page(three, "x")


def test_pairs_without_values_do_not_count(three):
    ours, other, third = three.methods
    empty = replace(third, cases={**third.cases, "p5": {}})
    found = Comparison((ours, other, empty))
    assert len(found.pairs) == 10 and "p5" not in found.pairs
    page = report.page(found, "x")
    assert "over 10 pairs that all methods have" in page
    assert "no values: other &amp; co (1), third (1)." in page
    assert next(csv.DictReader(io.StringIO(report.csv_table(found))))["pairs"] == "10"
    with pytest.raises(InputError, match="no pair that all"):
        Comparison((ours, replace(third, cases={p: {} for p in third.cases})))


def test_a_metric_of_fewer_pairs_says_so(three):
    ours, *others = three.methods
    cases = {**ours.cases, "p0": {"dice": ours.cases["p0"]["dice"]}}
    found = Comparison((replace(ours, cases=cases), *others))
    assert found.title("hd95") == "HD95, mm (10 pairs)" and found.title("dice") == "Dice"
    assert report.page(found, "x").count("<th>HD95, mm (10 pairs)</th>") == 2
    row = next(csv.DictReader(io.StringIO(report.csv_table(found))))
    assert (row["pairs"], row["pairs_hd95"]) == ("11", "10") and "pairs_dice" not in row


def with_distances(name, *values):
    return Method(name, {f"p{i}": {"hd95": v} for i, v in enumerate(values)})


def test_one_infinite_value_is_worse_than_any_gain():
    lost = with_distances("lost", 1.8, 1.9, 2.0, math.inf)
    whole = with_distances("whole", 2.0, 2.0, 2.0, 2.0)
    found = Comparison((lost, whole))
    assert found.means["lost"]["hd95"] == math.inf and found.means["whole"]["hd95"] == 2
    assert found.ordered == ["whole", "lost"] and found.scores == {"lost": 0.0, "whole": 1.0}
    assert found.effects("hd95")["whole"] == paired_effect([-1.8, -1.9, -2.0], [-2.0] * 3)
    latex = report.latex_table(found)
    assert r"\textbf{2.000" in latex and r"inf (1.900 $\pm$ 0.100 in 3 of 4) & " in latex
    page = report.page(found, "x")
    assert "removed a structure" in page and "without infinite values" in page


def test_infinite_values_rank_last():
    near, far, lost = (
        with_distances(name, *(shift + i / 10 for i in range(10)))
        for name, shift in (("near", 2.0), ("far", 3.0), ("lost", math.inf))
    )
    found = Comparison((near, far, lost))
    assert found.ordered == ["near", "far", "lost"]
    assert found.ranks["near"] > found.ranks["far"] > found.ranks["lost"]
    assert found.scores["near"] > found.scores["far"] > found.scores["lost"] == 0
    assert max(found.p_values("hd95").values()) < 0.05
    assert ">inf<" in report.page(found, "x")
    # Two that lost it alike are equal.
    alike = Comparison((lost, replace(lost, name="too")))
    assert alike.p_values("hd95") == {("lost", "too"): 1.0}
    assert len(set(alike.ranks.values())) == len(set(alike.scores.values())) == 1
    assert "Means" in report.page(alike, "x")


def test_background_is_no_structure(three):
    ours, other, _ = (
        replace(m, labels={p: {0: 0.9, **v} for p, v in m.labels.items()}) for m in three.methods
    )
    assert "in 2 of 2 structures" in report.page(Comparison((ours, other)), "x")


def test_names_are_no_formulas(three):
    names = ("m$_$", "a$b", "$x^2$")
    named = Comparison(tuple(replace(m, name=n) for m, n in zip(three.methods, names, strict=True)))
    assert report.page(named, "x").count("<img") == 6


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


def test_infinite_values_are_read(folders):
    table = folders / "a/cases.csv"
    table.write_text(table.read_text().replace("p2,,0.62,4.0,", "p2,,nan,inf,"))
    case = read_scores("A", folders / "a").cases["p2"]
    assert case["hd95"] == math.inf and "dice" not in case


def test_labels_without_a_number_are_left_out(folders):
    with open(folders / "a/labels.csv", "a") as file:
        file.write("p0,,5,nan,\np0,,6,,\n")
    assert read_scores("A", folders / "a").labels == {"p0": {4: 0.7}}


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("cases.csv", "p3,,0.63", "p3,,n/a", "cases.csv: dice of p3 is 'n/a', no number"),
        ("labels.csv", "p0,,4,0.7", "p0,,hippocampus,0.7", "label of p0 is 'hippocampus', no "),
        ("labels.csv", "p0,,4,0.7", "p0,,4,high", "labels.csv: dice of p0 is 'high', no number"),
    ],
)
def test_what_is_no_number_is_named(folders, capsys, name, old, new, words):
    table = folders / "a" / name
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new))
    argv = ["compare", f"A={folders / 'a'}", f"B={folders / 'b'}", "--output", str(folders / "o")]
    assert cli.main(argv) == 3
    assert words in capsys.readouterr().err


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
