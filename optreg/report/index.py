"""The page of many registrations: one table with a picture, a verdict and numbers for each pair."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from html import escape
from importlib import resources
from typing import Literal
from urllib.parse import quote

import numpy as np

from optreg import __version__
from optreg.metrics import METRICS
from optreg.report.numbers import number
from optreg.report.thumbnail import THUMBNAIL_PX

__all__ = ["Entry", "page", "worst_first"]

Level = Literal["failed", "problem", "attention", "good", "waiting"]

_LEVELS: tuple[Level, ...] = ("failed", "problem", "attention", "good", "waiting")
"""Worst first."""
_BINS, _BIN_PX, _BARS_PX = 20, 8, 44
_FIRST = 3
"""Column of the first number, after picture, name and verdict."""
_BUTTONS = 6
"""With more groups than this they are chosen from a list."""


@dataclass(frozen=True)
class Entry:
    """One pair, as the table shows it.

    Attributes
    ----------
    name, group : str
    level : str
        ``"failed"``, ``"waiting"``, or how the verdict on a result is.
    badness : float, optional
        Orders pairs of one level, larger is worse.
    headline : str
        The verdict in a sentence; the error of a failed pair.
    numbers : mapping of str to float, optional
        Keys of `optreg.metrics.METRICS`; with ``_before`` behind it, a number of the start, which
        is shown beside the one it became.
    links : mapping of str to str
        Words to paths relative to the page. Name and thumbnail lead where the first one does.
    thumbnail : str, optional
        Path relative to the page, of a picture made by `optreg.report.thumbnail`.
    """

    name: str
    level: Level
    group: str = ""
    badness: float | None = None
    headline: str = ""
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    thumbnail: str | None = None


def worst_first(entries: Iterable[Entry]) -> list[Entry]:
    """Failed pairs, problems, what deserves a second look, good ones, those that wait.

    Within a level by badness, those without one last; otherwise in their order.
    """

    def key(entry: Entry) -> tuple[int, bool, float]:
        unknown = entry.badness is None or math.isnan(entry.badness)
        return _LEVELS.index(entry.level), unknown, 0.0 if unknown else -float(entry.badness or 0)

    return sorted(entries, key=key)


def page(entries: Iterable[Entry], title: str) -> str:
    """One HTML file with a row for each pair, worst first, that works offline and without scripts.

    With scripts, rows are sorted and filtered. Only thumbnails and links are outside the file.

    Parameters
    ----------
    entries : iterable of Entry
        In any order.
    title : str
        Headline.

    Returns
    -------
    str

    Raises
    ------
    KeyError
        A number is none of `METRICS`.
    """
    rows = worst_first(entries)
    present = {key.removesuffix("_before") for row in rows for key in row.numbers}
    order = {key: place for place, key in enumerate(METRICS)}
    columns = sorted(present, key=lambda key: order[key])
    parts = {
        "TITLE": escape(title),
        "SUMMARY": _summary(rows),
        "LEVELS": _level_buttons(rows),
        "GROUPS": _group_choice(rows),
        "DISTRIBUTIONS": "".join(
            _distribution(rows, key, column) for column, key in enumerate(columns, start=_FIRST)
        ),
        "COLUMNS": str(max(len(columns), 1)),  # a grid cannot repeat a column no times
        "HEADS": "".join(_head(key) for key in columns),
        "CARD_LABELS": "".join(
            f'  td:nth-child({place})::before {{ content: "{METRICS[key].title}"; }}\n'
            for place, key in enumerate(columns, start=_FIRST + 1)
        ),
        "ROWS": "\n".join(_row(row, columns) for row in rows),
        "VERSION": escape(__version__),
        "DATE": date.today().isoformat(),
        "STYLE": _asset("style.css"),
        "SCRIPT": _asset("index.js"),
    }
    # In one pass: text that happens to look like a placeholder stays as it is.
    return re.sub(r"@([A-Z_]+)@", lambda match: parts[match[1]], _asset("index.html"))


def _asset(name: str) -> str:
    return resources.files("optreg.report").joinpath(name).read_text(encoding="utf-8")


def _summary(rows: Sequence[Entry]) -> str:
    counts = Counter(row.level for row in rows)
    done = len(rows) - counts["failed"] - counts["waiting"]
    words = [f"{number(done, 0)} of {_pairs(len(rows))} done"]
    said: dict[Level, tuple[str, str]] = {
        "failed": ("failed", "failed"),
        "problem": ("is a problem", "are problems"),
        "attention": ("deserves a second look", "deserve a second look"),
    }
    for level, (one, many) in said.items():
        if counts[level]:
            words.append(f"{number(counts[level], 0)} {one if counts[level] == 1 else many}")
    worst = next((level for level in _LEVELS if counts[level]), "good")
    kind = {"failed": "problem", "waiting": "good"}.get(worst, worst)
    more = f" {', '.join(words[1:])}." if words[1:] else ""
    return (
        f'<p class="verdict {kind}"><span class="lamp" aria-hidden="true"></span>'
        f"<span><strong>{words[0]}.</strong>{more}</span></p>"
    )


def _level_buttons(rows: Sequence[Entry]) -> str:
    counts = Counter(row.level for row in rows)
    return _button("", "all", len(rows), pressed=True) + "".join(
        _button(level, level, counts[level], lamp="<i></i>") for level in _LEVELS if counts[level]
    )


def _button(value: str, words: str, count: int, lamp: str = "", pressed: bool = False) -> str:
    return (
        f'<button type="button" value="{escape(value)}" aria-pressed="{str(pressed).lower()}">'
        f"{lamp}{escape(words)} <small>{number(count, 0)}</small></button>"
    )


def _group_choice(rows: Sequence[Entry]) -> str:
    counts = Counter(row.group for row in rows)
    if len(counts) < 2:
        return ""
    groups = sorted(counts.items())
    if len(groups) <= _BUTTONS:
        inside = _button("*", "all groups", len(rows), pressed=True) + "".join(
            _button(group, group or "no group", count) for group, count in groups
        )
        return f'<div class="segments" id="groups" role="group" aria-label="Group">{inside}</div>'
    options = "".join(
        f'<option value="{escape(group)}">{escape(group or "no group")} ({count})</option>'
        for group, count in groups
    )
    return (
        '<select id="groups" aria-label="Group">'
        f'<option value="*">all groups</option>{options}</select>'
    )


def _head(key: str) -> str:
    # Sorted from the worst value first.
    first = "ascending" if METRICS[key].higher_is_better else "descending"
    title = escape(METRICS[key].title)
    return f'<th scope="col"><button type="button" data-first="{first}">{title}</button></th>'


def _row(row: Entry, columns: Sequence[str]) -> str:
    paths = {words: escape(quote(path)) for words, path in row.links.items()}
    target = next(iter(paths.values()), None)

    def linked(content: str, more: str = "") -> str:
        return content if target is None else f'<a href="{target}"{more}>{content}</a>'

    name = escape(row.name)
    if row.thumbnail is None:
        picture = ""
    else:
        width, height = THUMBNAIL_PX
        picture = linked(
            f'<img src="{escape(quote(row.thumbnail))}" alt="" loading="lazy" decoding="async" '
            f'width="{width}" height="{height}">',
            ' tabindex="-1" aria-hidden="true"',  # the name leads there, too
        )
    group = f'<span class="group">{escape(row.group)}</span>' if row.group else ""
    links = "".join(f'<a href="{path}">{escape(words)}</a>' for words, path in paths.items())
    return (
        f'<tr class="{row.level}"><td>{picture}</td>'
        f'<th scope="row">{linked(name)}{group}</th>'
        f"<td><strong><i></i>{row.level}</strong>"
        f'<p>{escape(row.headline)}</p><p class="links">{links}</p></td>'
        f"{''.join(_cell(row, key) for key in columns)}</tr>"
    )


def _cell(row: Entry, key: str) -> str:
    value, start = _value(row, key), _value(row, f"{key}_before")
    digits = METRICS[key].digits
    was = "" if start is None else f"<small>from {number(start, digits)}</small>"
    if value is None:
        return f"<td>{was or number(None)}</td>"
    # Exact, for the order; and JavaScript has another name for what is not finite.
    exact = repr(value).replace("inf", "Infinity")
    return f'<td data-v="{exact}">{number(value, digits)}{was}</td>'


def _value(row: Entry, key: str) -> float | None:
    value = row.numbers.get(key)
    return None if value is None or math.isnan(value) else float(value)


def _distribution(rows: Sequence[Entry], key: str, column: int) -> str:
    """Histogram of one number; bars are divided by the levels of their pairs, the worst on top.

    A bar is as high as the square root of what it counts: a single outlier is seen.
    """
    found = [(v, row.level) for row in rows if (v := _value(row, key)) is not None]
    finite = np.array([v for v, _ in found if math.isfinite(v)])
    if not finite.size:
        return ""
    low, high = float(finite.min()), float(finite.max())
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    counts: list[Counter[Level]] = [Counter() for _ in range(_BINS)]
    for value, level in found:
        if math.isfinite(value):
            counts[min(int(np.searchsorted(edges, value, "right")) - 1, _BINS - 1)][level] += 1
    tallest = max(count.total() for count in counts)
    title, digits = escape(METRICS[key].title), METRICS[key].digits
    bars = []
    for place, count in enumerate(counts):
        ends = (float(edges[place]), float(edges[place + 1]))
        # Column, from, to, and whether the end belongs to it.
        where = f"{column}_{ends[0]!r}_{ends[1]!r}_{int(place == _BINS - 1)}"
        words = f"{title}: {number(ends[0], digits)} to {number(ends[1], digits)}"
        if count:
            bars.append(
                f'<g data-range="{where}" data-words="{words}">'
                f"<title>{words}, {_pairs(count.total())}</title>"
                f"{_bar(place * _BIN_PX, count, tallest)}</g>"
            )
    middle = number(float(np.median([v for v, _ in found])), digits)
    return (
        f"<figure><figcaption>{title}<span>median {middle}</span></figcaption>"
        f'<svg viewBox="0 0 {_BINS * _BIN_PX} {_BARS_PX}" preserveAspectRatio="none" role="img" '
        f'aria-label="Histogram: {title}">{"".join(bars)}</svg><p><span>{number(low, digits)}'
        f"</span><span>{number(high, digits)}</span></p></figure>"
    )


def _pairs(count: int) -> str:
    return "1 pair" if count == 1 else f"{number(count, 0)} pairs"


def _bar(left: int, count: Counter[Level], tallest: int) -> str:
    height = _BARS_PX * math.sqrt(count.total() / tallest)
    top = _BARS_PX - height
    parts = [f'<rect class="room" x="{left}" width="{_BIN_PX}" height="{_BARS_PX}"/>']
    for level in _LEVELS:
        if count[level]:
            part = height * count[level] / count.total()
            parts.append(
                f'<rect class="{level}" x="{left + 0.5}" y="{top:.2f}" width="{_BIN_PX - 1}" '
                f'height="{part:.2f}"/>'
            )
            top += part
    return "".join(parts)
