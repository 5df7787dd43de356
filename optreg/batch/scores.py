"""Scores of all cases of a submission: computed, aggregated, written as the organizers do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import optreg
from optreg.batch.parallel import Local, each
from optreg.batch.scoring import Case, score
from optreg.errors import InputError
from optreg.io.datasets import Dataset
from optreg.io.files import write_atomic
from optreg.io.tables import csv_text, json_text
from optreg.metrics import METRICS

__all__ = ["aggregate", "cases_of", "organizers_layout", "score_all", "write_scores"]

Scores = Sequence[Mapping[str, Any]]
"""What `score` returns, one per pair."""


def cases_of(
    dataset: Dataset,
    fields: Path,
    labels: Path | None = None,
    landmarks: Path | None = None,
    **settings: Any,
) -> list[Case]:
    """A case for each pair of a dataset; `settings` are further attributes of `Case`.

    Raises
    ------
    InputError
        A folder is none.
    """
    for folder in (labels, landmarks):
        if folder is not None and not folder.is_dir():
            raise InputError(f"{folder}: is no folder; name the one with a file for each image")
    return [
        Case(pair, fields, labels, landmarks, dataset.labels, **settings) for pair in dataset.pairs
    ]


def score_all(
    cases: Sequence[Case], jobs: int, ended: Callable[[Mapping[str, Any]], None]
) -> list[dict[str, Any]]:
    """Numbers of all cases, in their order; `ended` is told of each as it is done."""
    found: dict[str, dict[str, Any]] = {}
    for numbers in each(score, cases, Local(jobs)):
        found[numbers["name"]] = numbers
        ended({**numbers, "status": "failed" if "error" in numbers else "done"})
    return [found[case.pair.name] for case in cases]


def aggregate(cases: Scores) -> dict[str, dict[str, float]]:
    """Mean, standard deviation and 30th percentile ("30") of every metric over the cases.

    The percentile is of the worse end: the 70th where low values are better.
    """
    found: dict[str, dict[str, float]] = {}
    for metric, what in METRICS.items():
        values = [c[metric] for c in cases if c.get(metric) is not None]
        values = [v for v in values if np.isfinite(v)]
        if values:
            found[metric] = {
                "mean": float(np.mean(values)),
                "std": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
                "30": float(np.percentile(values, 30 if what.higher_is_better else 70)),
                "n": len(values),
            }
    return found


def organizers_layout(dataset: Dataset, cases: Scores) -> dict[str, Any]:
    """Content of ``metrics.json``: ``name``, ``aggregates`` (statistic -> metric), ``cases``
    (metric -> pair), ``groups``, ``eval_version``; metrics have the names of the configuration.
    """

    def by_statistic(chosen: Scores) -> dict[str, dict[str, float]]:
        numbers = aggregate(chosen)
        return {
            statistic: {title(metric): values[statistic] for metric, values in numbers.items()}
            for statistic in ("mean", "std", "30")
        }

    def title(metric: str) -> str:
        return dataset.metrics.get(metric, metric)

    groups = sorted({c["group"] for c in cases if c["group"]})
    return {
        "name": dataset.name,
        "aggregates": by_statistic(cases),
        "groups": {g: by_statistic([c for c in cases if c["group"] == g]) for g in groups},
        "cases": {title(m): {c["name"]: c.get(m) for c in cases} for m in _shown(cases)},
        "errors": {c["name"]: c["error"] for c in cases if "error" in c},
        "eval_version": f"optreg {optreg.__version__}",
    }


def write_scores(folder: Path, dataset: Dataset, fields: Path, cases: Scores) -> None:
    """Write ``metrics.json``, ``cases.csv``, ``labels.csv``, and ``sources.json``: where fields
    and images are, for those who want to draw them.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    shown = _shown(cases)
    images = {
        p.name: {"fixed": str(p.fixed.resolve()), "moving": str(p.moving.resolve())}
        for p in dataset.pairs
    }
    texts = {
        "sources.json": json_text({"fields": str(fields.resolve()), "pairs": images}),
        "labels.csv": csv_text(["pair", "group", "label", "dice", "hd95"], _label_rows(cases)),
        "cases.csv": csv_text(
            ["pair", "group", *shown],
            ([c["name"], c["group"], *(c.get(m) for m in shown)] for c in cases),
        ),
        "metrics.json": json_text(organizers_layout(dataset, cases)),
    }
    for name, text in texts.items():
        write_atomic(folder / name, [text.encode()], overwrite=True)


def _shown(cases: Scores) -> list[str]:
    return [m for m in METRICS if any(c.get(m) is not None for c in cases)]


def _label_rows(cases: Iterable[Mapping[str, Any]]) -> Iterator[list[Any]]:
    for case in cases:
        for label, values in case.get("per_label", {}).items():
            yield [case["name"], case["group"], label, *values]
