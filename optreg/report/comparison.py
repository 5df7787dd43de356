"""The page of a comparison, and its tables for a paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date
from html import escape
from importlib import resources
from typing import Any

import numpy as np

from optreg import __version__
from optreg.compare import Comparison
from optreg.io.tables import csv_text
from optreg.metrics import METRICS
from optreg.report import comparison_figures as figures
from optreg.report.comparison_pictures import pictures
from optreg.report.outcome import Attempts

__all__ = ["csv_table", "latex_table", "page"]

_SHOWN_LABELS, _SHOWN_CASES, _DRAWN_CASES = 8, 5, 2
_WITHOUT_SPREAD = ("ndv", "folded_voxels")
_LEAST_PAIRS = 6
"""With fewer, no two-sided signed-rank test can fall below 0.05."""


def page(comparison: Comparison, title: str, attempts: Attempts | None = None) -> str:
    """One HTML file that works offline: tables and figures.

    Parameters
    ----------
    comparison : Comparison
    title : str
    attempts : Attempts, optional
        Is told which parts fail; they are left out then.
    """
    attempts = attempts or Attempts()
    style = resources.files("optreg.report").joinpath("style.css").read_text(encoding="utf-8")
    reference = comparison.methods[0].name
    cards: list[tuple[str, str, Callable[[Comparison], str]]] = [
        ("Means", f"± standard deviation over {len(comparison.pairs)} pairs that all methods have",
         _summary),
        ("Effect sizes", f"Cohen's d of paired differences, 95 % bootstrap interval; positive: "
         f"{reference} is better" + ("; without infinite values" if comparison.infinite else ""),
         _effects),
        ("Significance", "Wilcoxon signed-rank tests, Bonferroni-corrected" + "".join(
            f"; of {count} pairs, nothing can be significant"
            for count in sorted({len(comparison.cases_of(m)) for m in _tested(comparison)})
            if count < _LEAST_PAIRS),
         lambda of: "".join(figures.significance(of, m) for m in _tested(of))),
        ("Distributions", "one mark per pair" + (
            "; infinite values are not drawn" if comparison.infinite else ""),
         figures.boxes),
        ("Dice against roughness", "smoother is to the left", figures.scatter),
        ("Structures", f"mean Dice of {reference} minus that of the best other method",
         _structures),
        ("Tasks", "means by part of the dataset", _by_group),
        ("Pairs", f"Dice of {reference} minus that of the best other method",
         _extremes),
    ]  # fmt: skip
    body = ""
    for head, text, content_of in cards:
        with attempts(f"part '{head}' of the page"):
            if content := content_of(comparison):
                body += (
                    f'<section class="card"><div class="head"><h2>{head}</h2>'
                    f"<p>{escape(text)}</p></div>{content}</section>"
                )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}'
        ".wide{overflow-x:auto}.wide td,.wide th{white-space:nowrap;text-align:right;"
        "padding:3px 10px}"
        ".wide td:first-child,.wide th:first-child{text-align:left}.best{font-weight:700}"
        ".card img{max-width:100%;height:auto}</style></head><body><main>"
        f'<div class="hero"><h1>{escape(title)}</h1></div>{body}</main>'
        f"<footer><p>optreg {escape(__version__)}, {date.today().isoformat()}</p></footer>"
        "</body></html>"
    )


def _cells(comparison: Comparison) -> tuple[list[str], list[list[str]], list[set[str]]]:
    """Header, rows of text, and who is best in each column."""
    header, columns, best = ["method"], [], []
    names = comparison.ordered
    for metric in comparison.metrics:
        if metric == "sdlogj_evaluator":  # says little; it is in the CSV table
            continue
        what = METRICS[metric]
        header.append(comparison.title(metric))
        values = comparison.values(metric)
        columns.append([_mean_text(metric, values[n]) for n in names])
        means = {n: comparison.means[n][metric] for n in names}
        top = max(means.values()) if what.higher_is_better else min(means.values())
        best.append({n for n, v in means.items() if v == top})
    for title, numbers in (("score", comparison.scores), ("rank", comparison.ranks)):
        if not any(math.isnan(v) for v in numbers.values()):
            header.append(title)
            columns.append([f"{numbers[n]:.3f}" for n in names])
            best.append({n for n in names if numbers[n] == max(numbers.values())})
    return header, [[n, *cells] for n, *cells in zip(names, *columns, strict=True)], best


def _mean_text(metric: str, values: np.ndarray) -> str:
    """Mean and standard deviation; of the finite values where some are infinite."""
    what, finite = METRICS[metric], values[np.isfinite(values)]
    if not finite.size:
        return what.text(math.inf)
    text = what.text(finite.mean())
    if metric not in _WITHOUT_SPREAD and finite.size > 1:
        text += f" ± {what.text(finite.std(ddof=1))}"
    if finite.size == values.size:
        return text
    return f"{what.text(math.inf)} ({text} in {finite.size} of {values.size})"


def _summary(comparison: Comparison) -> str:
    header, rows, best = _cells(comparison)
    marked = [
        [row[0], *((cell, row[0] in best[i]) for i, cell in enumerate(row[1:]))] for row in rows
    ]
    return _html_table(header, marked) + _notes(comparison)


def _notes(comparison: Comparison) -> str:
    """What the table of means does not say by itself."""
    notes = []
    if comparison.lacking:
        missing = ", ".join(f"{name} ({count})" for name, count in comparison.lacking.items())
        notes.append(f"Left out are pairs of which a method has no values: {missing}.")
    if comparison.judged_by_other_labels:
        others = ", ".join(comparison.judged_by_other_labels)
        notes.append(f"Judged by other labels than {comparison.methods[0].name}: {others}.")
    if comparison.infinite:
        notes.append(
            "inf: the field removed a structure altogether. One such pair makes the mean infinite, "
            "which in the score is worse than all others; in ranks and significance the pair is "
            "worse than all that have a number."
        )
    notes.append(
        "score: LUMIR validation board, metrics scaled to 0..1 over these methods (1/6 Dice, 1/6 "
        "HD95, 1/3 TRE, 1/3 NDV; of what is missing, the others take the part). rank: 0.1 to 1, by "
        "how many methods are beaten significantly."
    )
    return "".join(f"<p>{escape(note)}</p>" for note in notes)


def _html_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def cell(value: Any) -> str:
        text, best = value if isinstance(value, tuple) else (value, False)
        return f'<td class="best">{escape(text)}</td>' if best else f"<td>{escape(text)}</td>"

    head = "".join(f"<th>{escape(text)}</th>" for text in header)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>{body}</table></div>'


def _effects(comparison: Comparison) -> str:
    metrics = [m for m in ("dice", "hd95", "tre", "sdlogj") if m in comparison.metrics]
    columns = [comparison.effects(m) for m in metrics]
    rows = []
    for method in comparison.methods[1:]:
        found = [column[method.name] for column in columns]
        cells = [
            "" if math.isnan(d) else f"{d:+.2f} [{low:+.2f}, {high:+.2f}]" for d, low, high in found
        ]
        rows.append([method.name, *cells])
    if not any(cell for row in rows for cell in row[1:]):  # of one pair there is none
        return ""
    return _html_table(["against", *map(comparison.title, metrics)], rows)


def _tested(comparison: Comparison) -> list[str]:
    return [
        m
        for m in ("dice", "hd95", "tre")
        if m in comparison.metrics and len(comparison.cases_of(m)) > 1
    ]


def _by_group(comparison: Comparison) -> str:
    if len(comparison.groups) < 2:
        return ""
    tables = []
    for metric in (m for m in ("dice", "hd95", "tre", "ndv") if m in comparison.metrics):
        what, known = METRICS[metric], set(comparison.cases_of(metric))
        columns = {
            f"{name or 'others'} ({len(pairs)})": [p for p in pairs if p in known]
            for name, pairs in comparison.groups.items()
        }
        rows = []
        for method in sorted(comparison.methods, key=lambda m: comparison.ordered.index(m.name)):
            cells = [[method.cases[p][metric] for p in pairs] for pairs in columns.values()]
            rows.append([method.name, *(what.text(float(np.mean(c))) if c else "" for c in cells)])
        tables.append(_html_table([comparison.title(metric), *columns], rows))
    return "".join(tables)


def _rival(comparison: Comparison) -> str | None:
    """The best of the others, by Dice."""
    others = [m.name for m in comparison.methods[1:]]
    if "dice" not in comparison.metrics:
        return None
    return max(others, key=lambda n: comparison.means[n]["dice"])


def _structures(comparison: Comparison) -> str:
    rival = _rival(comparison)
    found = list(comparison.label_differences(rival).items()) if rival else []
    if not found:
        return ""
    shown = found
    if len(found) > 2 * _SHOWN_LABELS:
        shown = [*found[:_SHOWN_LABELS], *found[-_SHOWN_LABELS:]]
    better = sum(value > 0 for _, value in found)
    text = f"<p>Better than {escape(str(rival))} in {better} of {len(found)} structures.</p>"
    return text + _html_table(["label", "difference"], [[str(k), f"{v:+.4f}"] for k, v in shown])


def _extremes(comparison: Comparison) -> str:
    rival = _rival(comparison)
    if rival is None:
        return ""
    values = comparison.values("dice")
    difference = values[comparison.methods[0].name] - values[rival]
    order = np.argsort(-difference)
    pairs = comparison.cases_of("dice")
    chosen = order
    if len(order) > 2 * _SHOWN_CASES:
        chosen = np.concatenate([order[:_SHOWN_CASES], order[-_SHOWN_CASES:]])
    first = comparison.methods[0].name
    rows = [
        [pairs[i], f"{values[first][i]:.4f}", f"{values[rival][i]:.4f}", f"{difference[i]:+.4f}"]
        for i in chosen
    ]
    drawn = [pairs[i] for i in dict.fromkeys([*order[:_DRAWN_CASES], *order[-_DRAWN_CASES:]])]
    table = _html_table(["pair", first, rival, "difference"], rows)
    return table + pictures(comparison, rival, drawn)


def csv_table(comparison: Comparison) -> str:
    """Means, scores and ranks: a row a method; ``pairs_METRIC`` where a metric has fewer."""
    count, metrics = len(comparison.pairs), comparison.metrics
    fewer = {m: n for m in metrics if (n := len(comparison.cases_of(m))) < count}
    rows = [
        [
            name, count, *(means[m] for m in metrics), comparison.scores[name],
            comparison.ranks[name], *fewer.values(),
        ]
        for name, means in ((n, comparison.means[n]) for n in comparison.ordered)
    ]  # fmt: skip
    header = ["method", "pairs", *metrics, "score", "rank", *(f"pairs_{m}" for m in fewer)]
    return csv_text(header, rows)


def latex_table(comparison: Comparison) -> str:
    """The table of means for a paper (package booktabs), the best of each column bold."""
    header, rows, best = _cells(comparison)

    def line(cells: Sequence[str]) -> str:
        return " & ".join(cells) + r" \\"

    def safe(text: str) -> str:
        for character in "&%_#$":
            text = text.replace(character, "\\" + character)
        return text.replace("±", r"$\pm$")

    body = [
        line([safe(row[0]), *(rf"\textbf{{{safe(cell)}}}" if row[0] in best[i] else safe(cell)
                              for i, cell in enumerate(row[1:]))])
        for row in rows
    ]  # fmt: skip
    return "\n".join(
        [rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}", r"\toprule",
         line([safe(text) for text in header]), r"\midrule", *body, r"\bottomrule",
         r"\end{tabular}", ""]
    )  # fmt: skip
