"""The page of many pairs: worst first, safe, small, quick, complete without scripts."""

import math
import re
import time
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest

from optreg.metrics import METRICS
from optreg.report.index import Entry, page, worst_first

_VOID = {"meta", "br", "img", "input", "rect"}


class Page(HTMLParser):
    """Rows of the table as lists of cells, and everything else a test asks of a page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.problems, self.addresses, self.ids = [], [], [], []
        self.heads, self.rows, self.values, self.bars, self.words = [], [], [], [], []
        self.scripts = 0
        self.feed(text)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.addresses += [given[k] for k in ("src", "href", "data", "action") if k in given]
        self.ids += [given["id"]] if "id" in given else []
        self.scripts += tag == "script"
        if tag == "tr":
            self.rows.append([])
            self.values.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.values[-1].append(given.get("data-v"))
        if tag == "th":
            self.heads.append(given)
        if tag == "g":
            self.bars.append(given)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in _VOID:
            return
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> closes {self.open[-3:]}")
        else:
            self.open.pop()

    def handle_data(self, data):
        if {"script", "style"} & set(self.open[-1:]):
            return
        self.words.append(data)
        if self.rows and "tr" in self.open:
            self.rows[-1][-1] += data

    @property
    def body(self):
        return self.rows[1:]

    @property
    def names(self):
        return [row[1] for row in self.body]


def parsed(entries, title="Pairs"):
    found = Page(page(entries, title))
    assert found.problems == []
    assert len(found.ids) == len(set(found.ids))
    return found


ENTRIES = [
    Entry("g1", "good", badness=0.1, numbers={"dice": 0.7}),
    Entry("w", "waiting"),
    Entry("p", "problem", badness=0.0),
    Entry("g3", "good", badness=0.3),
    Entry("g?", "good"),
    Entry("gn", "good", badness=math.nan),
    Entry("g2", "good", badness=0.2),
    Entry("f", "failed", headline="a.nii: is damaged; copy it again"),
    Entry("a", "attention", badness=9.0),
]
ORDER = ["f", "p", "a", "g3", "g2", "g1", "g?", "gn", "w"]


def thousand():
    rng = np.random.default_rng(0)
    keys = ("dice", "dice_before", "hd95", "tre", "similarity", "ndv", "sdlogj", "seconds")
    return [
        Entry(
            f"sub-{number:04d}_on_sub-{number + 1:04d}",
            ("good", "good", "attention", "problem")[number % 4],
            ("OASIS", "ADNI")[number % 2],
            float(rng.random()),
            "Worth a second look: the images match no better than before.",
            {key: float(value) for key, value in zip(keys, rng.random(len(keys)), strict=True)},
            {"report": f"pairs/{number}/report.html", "field": f"pairs/{number}/disp.nii.gz"},
            f"pairs/{number}/thumbnail.jpg",
        )
        for number in range(1000)
    ]


def test_worst_is_first_without_any_script():
    assert [entry.name for entry in worst_first(ENTRIES)] == ORDER
    assert parsed(ENTRIES).names == ORDER
    assert parsed(reversed(ENTRIES)).names[:6] == ORDER[:6]


def test_summary_counts():
    words = " ".join(parsed(ENTRIES).words)
    assert "7 of 9 pairs done." in words
    assert "1 failed, 1 is a problem, 1 deserves a second look." in words
    assert "is damaged; copy it again" in words
    assert "0 of 0 pairs done." in " ".join(parsed([]).words)
    assert "--columns:1" in page([], "")  # repeat(0, ...) in a style sheet is an error


def test_text_from_outside_stays_text():
    evil = "</script><script>alert(1)</script><b>\"'&@TITLE@@ROWS@"
    entry = Entry(evil, "good", evil, 0.0, evil, {"dice": 0.5}, {evil: evil}, f"{evil}.jpg")
    found = parsed([entry, Entry("other", "good", "another")], evil)
    assert found.scripts == 1
    assert found.names[0] == evil + evil  # name and group
    assert found.body[0][2].count(evil) == 2
    text = page([entry], evil)
    assert "<b>" not in text and text.count("alert(1)</script>") == 0


def test_links_are_relative_and_quoted():
    name = 'a b#c?d%e"f&g:h'
    links = {"report": f"pairs/{name}/report.html", "bad": "javascript:alert(1)"}
    found = parsed([Entry(name, "good", links=links, thumbnail=f"pairs/{name}/thumbnail.jpg")])
    outside = [a for a in found.addresses if not a.startswith("#")]
    assert {unquote(a) for a in outside} == {*links.values(), f"pairs/{name}/thumbnail.jpg"}
    assert all(re.fullmatch(r"[\w/.%-]+", address) for address in outside)
    # Name and thumbnail lead to the first; each link has words of its own.
    assert [unquote(a) for a in outside].count(links["report"]) == 3


def test_page_needs_nothing_from_outside():
    text = page(thousand(), "Pairs")
    assert not re.search(r"https?://|url\(|@import|\bfetch\(|XMLHttpRequest", text)
    assert not re.search(r"@[A-Z_]{3,}@", text)
    assert text.count('loading="lazy"') == 1000


def test_every_number_has_the_digits_of_its_metric():
    numbers = {key: 3.14159265 + place for place, key in enumerate(METRICS)}
    found = parsed([Entry("a", "good", numbers=numbers), Entry("b", "failed")])
    heads = found.rows[0][3:]
    assert heads == [metric.title for metric in METRICS.values()]
    good = found.body[1]
    assert good[3:] == [METRICS[key].text(value) for key, value in numbers.items()]
    # What is sorted by is exact.
    assert [float(v) for v in found.values[2][3:]] == list(numbers.values())
    assert found.body[0][3:] == ["\u2013"] * len(METRICS)
    # First a click shows the worst: the lowest where higher is better.
    ways = re.findall(r'data-first="(\w+)">([^<]*)</button>', page([Entry("a", "good")], ""))
    assert ways == [("ascending", "pair"), ("descending", "verdict")]
    ways = re.findall(
        r'data-first="(\w+)">([^<]*)</button>',
        page([Entry("a", "good", numbers={"dice": 0.5, "hd95": 1.0})], ""),
    )
    assert ways[2:] == [("ascending", "Dice"), ("descending", "HD95, mm")]
    assert [h["aria-sort"] for h in found.heads if "aria-sort" in h] == ["descending"]


def test_start_is_shown_beside_what_it_became():
    found = parsed(
        [
            Entry("a", "good", badness=3, numbers={"dice": 0.61239, "dice_before": 0.4}),
            Entry("b", "good", badness=2, numbers={"dice_before": 0.5}),
            Entry("c", "good", badness=1, numbers={"dice": math.nan, "hd95": math.inf}),
        ]
    )
    assert found.rows[0][3:] == ["Dice", "HD95, mm"]
    assert [row[3:] for row in found.body] == [
        ["0.6124from 0.4000", "\u2013"],
        ["from 0.5000", "\u2013"],
        ["\u2013", "\u221e"],
    ]
    assert [v[3:] for v in found.values[1:]] == [
        ["0.61239", None],
        [None, None],
        [None, "Infinity"],
    ]


def test_numbers_that_are_in_no_table_are_refused():
    with pytest.raises(KeyError, match="dcie"):
        page([Entry("a", "good", numbers={"dcie": 0.5})], "Pairs")


def test_bars_count_every_pair_once():
    entries = thousand()
    found = parsed(entries)
    dice = np.array([entry.numbers["dice"] for entry in entries])
    bars = [bar for bar in found.bars if bar["data-range"].startswith("3_")]
    total = 0
    for bar in bars:
        _, low, high, last = (float(part) for part in bar["data-range"].split("_"))
        total += int(((dice >= low) & ((dice <= high) if last else (dice < high))).sum())
    assert total == 1000
    counts = re.findall(r"<title>Dice: [^<]*, (\d+) pairs?</title>", page(entries, ""))
    assert sum(map(int, counts)) == 1000 and len(counts) == len(bars) == 20
    # One value, an infinite one, none.
    for value, count in ((0.5, 1), (math.inf, 0), (None, 0)):
        assert len(parsed([Entry("a", "good", numbers={"dice": value})]).bars) == count


def test_filters_offer_what_there_is():
    text = page(ENTRIES, "")
    assert re.findall(r'<button type="button" value="(\w*)"', text) == [
        "", "failed", "problem", "attention", "good", "waiting",
    ]  # fmt: skip
    assert 'id="groups"' not in text
    few = page([Entry(str(n), "good", f"g{n % 3}") for n in range(9)], "")
    assert re.findall(r'value="([^"]*)"[^>]*>(?:<i></i>)?([^<]*) <small>(\d+)', few)[2:] == [
        ("*", "all groups", "9"), ("g0", "g0", "3"), ("g1", "g1", "3"), ("g2", "g2", "3"),
    ]  # fmt: skip
    many = page([Entry(str(n), "good", f"g{n}") for n in range(9)], "")
    assert many.count("<option") == 10


def test_a_thousand_pairs_are_small_and_quick():
    entries = thousand()
    page(entries, "")
    start = time.perf_counter()
    text = page(entries, "")
    assert time.perf_counter() - start < 1.0
    assert len(text.encode()) < 1e6
