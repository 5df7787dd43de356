"""Comparing methods on the same cases: significance, effect sizes, scores and ranks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from optreg.errors import InputError

__all__ = [
    "Effect",
    "corrected_p_values",
    "paired_effect",
    "significance_scores",
    "validation_scores",
    "wilcoxon_p",
]

VALIDATION_WEIGHTS = {"dice": 1 / 6, "hd95": 1 / 6, "tre": 1 / 3, "ndv": 1 / 3}
"""Of the LUMIR validation board."""

_LOWEST, _HIGHEST = 0.1, 1.0
_RESAMPLES = 5000


class Effect(NamedTuple):
    """Cohen's d of paired differences, and its 95 % bootstrap interval."""

    d: float
    low: float
    high: float


def wilcoxon_p(
    first: ArrayLike,
    second: ArrayLike,
    better: Literal["two-sided", "greater", "less"] = "two-sided",
) -> float:
    """P-value of the Wilcoxon signed-rank test on paired values; 1 where all are equal.

    Parameters
    ----------
    first, second : array of float
        Values of two methods on the same cases.
    better : {"two-sided", "greater", "less"}
        Alternative: they differ, the first is greater, the first is less.

    Raises
    ------
    InputError
        Different numbers of cases, or none.
    """
    from scipy import stats

    a, b = _pairs(first, second)
    if np.array_equal(a, b):
        return 1.0
    return float(stats.wilcoxon(a, b, alternative=better).pvalue)


def corrected_p_values(values: Mapping[str, ArrayLike]) -> dict[tuple[str, str], float]:
    """Two-sided p-values of all pairs of methods, times their number (Bonferroni), at most 1.

    Parameters
    ----------
    values : mapping
        Method -> one value per case, in one order.
    """
    pairs = list(itertools.combinations(values, 2))
    return {(a, b): min(1.0, len(pairs) * wilcoxon_p(values[a], values[b])) for a, b in pairs}


def paired_effect(
    first: ArrayLike, second: ArrayLike, seed: int = 0, resamples: int = _RESAMPLES
) -> Effect:
    """Cohen's d of ``first - second``: the mean difference over its standard deviation.

    The interval is the percentile bootstrap over cases. NaN with fewer than two cases; where the
    difference is the same in every case, d is infinite, or 0 if that is none.

    Raises
    ------
    InputError
        Different numbers of cases, or none.
    """
    a, b = _pairs(first, second)
    difference = a - b
    if len(difference) < 2:
        return Effect(np.nan, np.nan, np.nan)
    draws = np.random.default_rng(seed).integers(0, len(difference), (resamples, len(difference)))
    low, high = np.percentile(_d(difference[draws]), [2.5, 97.5], method="nearest")
    return Effect(float(_d(difference)), float(low), float(high))


def _d(differences: np.ndarray) -> np.ndarray:
    mean, spread = differences.mean(axis=-1), differences.std(axis=-1, ddof=1)
    same = spread <= 1e-12 * np.abs(mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        d = np.where(same, np.copysign(np.inf, mean), mean / spread)
    return np.where(same & (mean == 0), 0.0, d)


def validation_scores(
    means: Mapping[str, Mapping[str, float]], higher_is_better: Mapping[str, bool]
) -> dict[str, float]:
    """Score of the LUMIR validation board, 0 to 1: every metric is scaled to 0..1 over the methods
    (1 for the best), then weighed by `VALIDATION_WEIGHTS`.

    Parameters
    ----------
    means : mapping
        Method -> metric -> mean over the cases. Metrics that some method lacks are left out, and
        the other weights grow in proportion.
    higher_is_better : mapping
        Of each metric.
    """
    shared = [m for m in VALIDATION_WEIGHTS if means and all(m in v for v in means.values())]
    total = sum(VALIDATION_WEIGHTS[m] for m in shared)
    scores = dict.fromkeys(means, 0.0 if shared else float("nan"))
    for metric in shared:
        column = [values[metric] for values in means.values()]
        low, high = min(column), max(column)
        for method, values in means.items():
            part = (values[metric] - low) / (high - low) if high > low else 1.0
            if high > low and not higher_is_better[metric]:
                part = 1.0 - part
            scores[method] += part * VALIDATION_WEIGHTS[metric] / total
    return scores


def significance_scores(
    values: Mapping[str, ArrayLike], higher_is_better: bool, level: float = 0.05
) -> dict[str, float]:
    """Rank of each method by how many others it beats significantly, from 0.1 (least) to 1.

    As Learn2Reg ranks (Hering et al. 2023, doi 10.1109/TMI.2022.3213983): one-sided Wilcoxon
    tests; methods with as many wins share the mean of their ranks.

    Parameters
    ----------
    values : mapping
        Method -> one value per case, in one order.
    """
    from scipy import stats

    better: Literal["greater", "less"] = "greater" if higher_is_better else "less"
    wins = {
        a: sum(wilcoxon_p(values[a], values[b], better) < level for b in values if b != a)
        for a in values
    }
    if len(wins) < 2:
        return dict.fromkeys(wins, _HIGHEST)
    ranks = stats.rankdata(list(wins.values()))
    scaled = _LOWEST + (_HIGHEST - _LOWEST) * (ranks - 1) / (len(wins) - 1)
    return dict(zip(wins, map(float, scaled), strict=True))


def _pairs(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise InputError(f"{a.size} and {b.size} values; one of each method per case is needed")
    return a, b
