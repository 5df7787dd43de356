"""Methods side by side: the scores of each on the same cases, and what their differences mean."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from optreg.errors import InputError
from optreg.io.tables import read_rows
from optreg.metrics import METRICS
from optreg.metrics.statistics import (
    Effect,
    corrected_p_values,
    paired_effect,
    significance_scores,
    validation_scores,
)

__all__ = ["Comparison", "Method", "read_scores"]

_BACKGROUND = 0
_HIGHER_IS_BETTER = {name: metric.higher_is_better for name, metric in METRICS.items()}


@dataclass(frozen=True)
class Method:
    """Scores of one method.

    Attributes
    ----------
    name : str
    cases : mapping
        Pair -> metric -> value; infinite where the field removed what was to be measured.
    labels : mapping
        Pair -> label -> Dice.
    groups : mapping
        Pair -> part of the dataset (task, contrast); "" or missing for the rest.
    sources : mapping, optional
        Where the judged files are: ``fields``, and ``pairs``: pair -> ``fixed``, ``moving``.
    """

    name: str
    cases: Mapping[str, Mapping[str, float]]
    labels: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, Any] | None = None


def read_scores(name: str, folder: Path) -> Method:
    """Scores from the folder that ``optreg evaluate --fields ... --output`` wrote.

    Raises
    ------
    InputError
        There are none, or something else is where a number should be.
    """
    table = folder / "cases.csv"
    cases: dict[str, dict[str, float]] = {}
    groups: dict[str, str] = {}
    for row in read_rows(table, {"pair"}):
        values = {m: _number(table, row, m) for m in METRICS if row.get(m)}
        cases[row["pair"]] = {
            m: v
            for m, v in values.items()
            if math.isfinite(v) or (v == math.inf and not _HIGHER_IS_BETTER[m])
        }
        groups[row["pair"]] = row.get("group") or ""
    if not any(cases.values()):
        raise InputError(f"{table}: holds no case that could be judged")
    labels = _label_scores(folder / "labels.csv") if (folder / "labels.csv").is_file() else {}
    sources = None
    if (folder / "sources.json").is_file():
        with contextlib.suppress(ValueError):
            sources = json.loads((folder / "sources.json").read_text(encoding="utf-8"))
    return Method(name, cases, labels, groups, sources)


def _label_scores(table: Path) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for row in read_rows(table, {"pair", "label", "dice"}):
        dice = _number(table, row, "dice") if row["dice"] else math.nan
        if math.isfinite(dice):  # it is not where one of the images never had the label
            found.setdefault(row["pair"], {})[_number(table, row, "label", int)] = dice
    return found


def _number(
    table: Path, row: Mapping[str, str], column: str, kind: Callable[[str], Any] = float
) -> Any:
    try:
        return kind(row[column])
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{table}: {column} of {row['pair']} is '{row[column]}', no number; "
            "write the table again with 'optreg evaluate'"
        ) from error


def _without_infinity(values: np.ndarray) -> np.ndarray:
    """Infinite values as finite ones, above the others by at least as much as those differ.

    Only the order and the sign of differences are asked for then, and two infinite ones are equal.
    """
    known = values[np.isfinite(values)]
    if known.size == values.size:
        return values
    worst = known.max() + (np.ptp(known) or 1.0) if known.size else 0.0
    return np.where(np.isfinite(values), values, worst)


@dataclass(frozen=True)
class Comparison:
    """Methods on the cases that all of them have; the first one is the reference.

    Parameters
    ----------
    methods : tuple of Method
        At least two, with at least one case in common.

    Raises
    ------
    InputError
        There is nothing to compare.
    """

    methods: tuple[Method, ...]

    def __post_init__(self) -> None:
        names = [method.name for method in self.methods]
        if len(names) < 2 or len(set(names)) < len(names):
            raise InputError("two or more methods with different names are needed")
        if not self.pairs:
            raise InputError(f"{', '.join(names)}: no pair that all of them have")

    @cached_property
    def pairs(self) -> tuple[str, ...]:
        """Cases for which there is a metric that every method has."""
        return tuple(
            pair
            for pair in self.methods[0].cases
            if set.intersection(*(set(method.cases.get(pair, ())) for method in self.methods))
        )

    @cached_property
    def lacking(self) -> dict[str, int]:
        """Method -> number of cases that another one has values for, and it has none."""
        known = [{pair for pair, values in m.cases.items() if values} for m in self.methods]
        every = set().union(*known)
        return {
            m.name: len(every - own)
            for m, own in zip(self.methods, known, strict=True)
            if every - own
        }

    @cached_property
    def judged_by_other_labels(self) -> tuple[str, ...]:
        """Methods whose Dice is of other labels than that of the reference, for some pair."""
        reference, *others = self.methods
        return tuple(
            method.name
            for method in others
            if any(
                reference.labels[pair].keys() != method.labels[pair].keys()
                for pair in self.pairs
                if pair in reference.labels and pair in method.labels
            )
        )

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that every method has for one case at least."""
        return tuple(m for m in METRICS if self.cases_of(m))

    def cases_of(self, metric: str) -> tuple[str, ...]:
        """Cases for which every method has a metric."""
        return tuple(p for p in self.pairs if all(metric in m.cases[p] for m in self.methods))

    def title(self, metric: str) -> str:
        """Words for a metric, with its number of cases where that is not the number of all."""
        count, title = len(self.cases_of(metric)), METRICS[metric].title
        return title if count == len(self.pairs) else f"{title} ({count} pairs)"

    @cached_property
    def infinite(self) -> tuple[str, ...]:
        """Metrics of which some method has infinite values."""
        return tuple(
            m for m in self.metrics if any(math.isinf(row[m]) for row in self.means.values())
        )

    @cached_property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Part of the dataset -> its common cases, as the reference has them."""
        found: dict[str, list[str]] = {}
        for pair in self.pairs:
            found.setdefault(self.methods[0].groups.get(pair, ""), []).append(pair)
        return {name: tuple(pairs) for name, pairs in sorted(found.items())}

    def values(self, metric: str) -> dict[str, np.ndarray]:
        """Method -> values of the common cases."""
        pairs = self.cases_of(metric)
        return {m.name: np.array([m.cases[p][metric] for p in pairs]) for m in self.methods}

    def _tested(self, metric: str) -> dict[str, np.ndarray]:
        """`values` for tests that need finite ones."""
        values = self.values(metric)
        return dict(zip(values, _without_infinity(np.array([*values.values()])), strict=True))

    @cached_property
    def means(self) -> dict[str, dict[str, float]]:
        """Method -> metric -> mean; infinite if one of the values is."""
        table: dict[str, dict[str, float]] = {method.name: {} for method in self.methods}
        for metric in self.metrics:
            for name, values in self.values(metric).items():
                table[name][metric] = float(values.mean())
        return table

    @cached_property
    def scores(self) -> dict[str, float]:
        """Score of the LUMIR validation board."""
        means = {name: dict(row) for name, row in self.means.items()}
        for metric in self.infinite:
            column = _without_infinity(np.array([row[metric] for row in means.values()]))
            for row, value in zip(means.values(), column, strict=True):
                row[metric] = float(value)
        return validation_scores(means, _HIGHER_IS_BETTER)

    @cached_property
    def ranks(self) -> dict[str, float]:
        """Geometric mean of the significance-based ranks over the metrics of the challenge."""
        counted = [m for m in ("dice", "hd95", "tre", "ndv") if m in self.metrics]
        each = [significance_scores(self._tested(m), METRICS[m].higher_is_better) for m in counted]
        return {
            m.name: float(np.exp(np.mean([np.log(r[m.name]) for r in each]))) if each else math.nan
            for m in self.methods
        }

    @cached_property
    def ordered(self) -> list[str]:
        """Methods, best score first; where there are no scores, by Dice."""
        keys = self.scores
        if any(math.isnan(value) for value in keys.values()):
            keys = {name: means.get("dice", 0.0) for name, means in self.means.items()}
        return sorted(keys, key=lambda name: -keys[name])

    def p_values(self, metric: str) -> dict[tuple[str, str], float]:
        """Corrected p-values of all pairs of methods."""
        return corrected_p_values(self._tested(metric))

    def effects(self, metric: str) -> dict[str, Effect]:
        """Other method -> effect size of the reference against it; positive: reference better.

        Of the cases in which both have finite values; NaN with fewer than two.
        """
        values, sign = self.values(metric), 1 if METRICS[metric].higher_is_better else -1
        reference, found = values[self.methods[0].name], {}
        for method in self.methods[1:]:
            other = values[method.name]
            both = np.isfinite(reference) & np.isfinite(other)
            found[method.name] = (
                paired_effect(sign * reference[both], sign * other[both])
                if both.any()
                else Effect(math.nan, math.nan, math.nan)
            )
        return found

    def label_differences(self, other: str) -> dict[int, float]:
        """Label -> mean Dice of the reference minus that of another method, most gained first.

        Without the background, which is no structure.
        """
        theirs = next(m for m in self.methods if m.name == other).labels
        found: dict[int, list[float]] = {}
        for pair, values in self.methods[0].labels.items():
            for label, value in values.items():
                if label != _BACKGROUND and label in theirs.get(pair, {}):
                    found.setdefault(label, []).append(value - theirs[pair][label])
        means = {label: float(np.mean(values)) for label, values in found.items()}
        return dict(sorted(means.items(), key=lambda item: -item[1]))
