"""Tables, statistics and figures of the experiments, in one form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import process
import tables
from optreg.metrics.statistics import paired_effect, wilcoxon_p

_LEVEL = 0.05
_FEWEST = 3
"""Pairs below which neither a test nor an effect size says anything."""


def write(output: Path, name: str, text: str, content: Any) -> None:
    """``NAME.md`` and ``NAME.json`` in the output folder; the text is also printed."""
    output.mkdir(parents=True, exist_ok=True)
    process.write_text(output / f"{name}.md", text)
    process.write_text(output / f"{name}.json", json.dumps(content, indent=1))
    print("\n" + text)


def mean_and_spread(values: Sequence[float], pattern: str = "{:.4f}") -> str:
    """``mean ± standard deviation`` over pairs; the mean alone of one."""
    text = pattern.format(np.mean(values))
    return text if len(values) < 2 else f"{text} ± {pattern.format(np.std(values)).lstrip('+')}"


def difference(
    own: Sequence[float], theirs: Sequence[float], tests: int, pattern: str = "{:+.4f}"
) -> list[str]:
    """Cells of a row: mean difference, p, Cohen's d with its interval.

    Parameters
    ----------
    own, theirs : sequence of float
        On the same pairs.
    tests : int
        How many of them there are: p is times that (Bonferroni).
    pattern : str
        Of the difference.
    """
    mean = pattern.format(np.mean(np.subtract(own, theirs)))
    if len(own) < _FEWEST:
        return [mean, "", ""]
    effect = paired_effect(own, theirs)
    d, low, high = (f"{v:+.1f}" if np.isfinite(v) else "unbounded" for v in effect)
    return [mean, f"{min(1.0, tests * wilcoxon_p(own, theirs)):.3f}", f"{d} ({low} to {high})"]


DIFFERENCE = ("p", "Cohen's d (95 %)")
"""Headings of the last two cells of `difference`."""


def caveat(pairs: int, tests: int) -> str:
    """What the p-values are, and whether so few pairs can be significant at all."""
    if pairs < _FEWEST:
        return f"\nPairs: {pairs}, too few for a test.\n"
    # All differences of one sign are the most that a signed-rank test can see.
    least = min(1.0, tests * 2.0 ** (1 - pairs))
    text = f"\nWilcoxon's test over {pairs} pairs; p is times {tests}, as many tests (Bonferroni)"
    if least >= _LEVEL:
        text += f"; with so few pairs no p can be below {least:.2f}, so nothing is significant"
    return text + ".\n"


def compared(
    heading: str,
    records: Mapping[str, Mapping[str, Mapping[str, Any]]],
    reference: str,
    extra: Sequence[tuple[str, str, str]] = (),
) -> str:
    """Table of Dice and roughness by condition, each against a reference on the same pairs.

    Parameters
    ----------
    heading : str
        Of the first column.
    records : mapping
        Condition -> pair -> numbers; pairs that a condition lacks count for none.
    reference : str
        A condition.
    extra : sequence of tuple
        More columns: key, heading, format of its mean.
    """
    pairs = tables.common_pairs(records)
    if not pairs:
        return "No pair was registered in every condition.\n"
    found = {name: own for name, own in records.items() if own}
    columns = (("sdlogj", "SDlogJ", "{:.3f}"), ("folded_voxels", "folded", "{:.0f}"), *extra)
    rows = [[heading, "Dice", f"minus {reference}", *DIFFERENCE, *(c[1] for c in columns)]]
    for name, own in found.items():
        dice = [own[pair]["dice"] for pair in pairs]
        cells = ["", "", ""]
        if name != reference and reference in found:
            theirs = [found[reference][pair]["dice"] for pair in pairs]
            cells = difference(dice, theirs, len(found) - 1)
        means = [
            p.format(np.mean([own[pair][key] for pair in pairs])) if key in own[pairs[0]] else ""
            for key, _, p in columns
        ]
        rows.append([name, mean_and_spread(dice), *cells, *means])
    return tables.table(rows) + caveat(len(pairs), max(1, len(found) - 1))


class Drawing:
    """A small figure: ``with Drawing(path) as axes: axes.plot(...)``."""

    def __init__(self, path: Path, columns: int = 1, size: tuple[float, float] = (6.5, 3.6)):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        dpi = 100 if max(size) < 7 else 80
        self._figure = Figure(figsize=size, dpi=dpi, layout="constrained")
        FigureCanvasAgg(self._figure)
        self._axes = self._figure.subplots(1, columns)

    def __enter__(self) -> Any:
        return self._axes

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None:
            for axes in np.ravel(self._axes):
                axes.grid(alpha=0.3)
                axes.set_axisbelow(True)
            self._figure.savefig(self._path)
