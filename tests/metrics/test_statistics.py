"""Significance, effect sizes, scores and ranks, against published examples and definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optreg.errors import InputError
from optreg.metrics.statistics import (
    corrected_p_values,
    paired_effect,
    significance_scores,
    validation_scores,
    wilcoxon_p,
)


def exact_p(a, b):
    """Two-sided p-value by going through all signs of the differences."""
    d = np.asarray(a) - np.asarray(b)
    ranks = np.argsort(np.argsort(np.abs(d))) + 1
    found = ranks[d > 0].sum()
    sums = [sum(r for r, s in zip(ranks, signs, strict=True) if s)
            for signs in itertools.product((0, 1), repeat=len(d))]  # fmt: skip
    one_side = min(np.mean(np.array(sums) <= found), np.mean(np.array(sums) >= found))
    return min(1.0, 2 * one_side)


def test_wilcoxon_is_exact_for_few_cases():
    rng = np.random.default_rng(0)
    for shift in (0.0, 0.5, 1.5):
        a, b = rng.standard_normal((2, 9))
        assert wilcoxon_p(a + shift, b) == pytest.approx(exact_p(a + shift, b))
    assert wilcoxon_p([1, 2, 3], [1, 2, 3]) == 1.0
    assert wilcoxon_p(range(1, 9), range(8), "greater") < 0.05 < wilcoxon_p([0], [1])


def test_correction_is_by_the_number_of_pairs():
    rng = np.random.default_rng(1)
    values = {
        name: rng.standard_normal(12) + shift for name, shift in zip("abc", (0, 1, 3), strict=True)
    }
    found = corrected_p_values(values)
    assert list(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    for (a, b), p in found.items():
        assert p == pytest.approx(min(1, 3 * wilcoxon_p(values[a], values[b])))


def test_effect_size():
    a, b = [3.0, 5.0, 4.0, 6.0], [1.0, 2.0, 3.0, 4.0]
    # Differences 2, 3, 1, 2: mean 2, variance 2/3.
    effect = paired_effect(a, b)
    assert effect.d == pytest.approx(2 / np.sqrt(2 / 3))
    assert effect.low <= effect.d <= effect.high
    assert paired_effect(b, a).d == pytest.approx(-effect.d)
    assert paired_effect([1, 2], [0, 1]).d == np.inf and paired_effect([1, 2], [1, 2]).d == 0
    assert np.isnan(paired_effect([1], [2]).d)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(2)
    covered = 0
    for trial in range(200):
        d = paired_effect(rng.normal(0.5, 1, 60), np.zeros(60), seed=trial, resamples=400)
        covered += d.low <= 0.5 <= d.high
    assert 0.9 <= covered / 200 <= 0.99


def test_validation_score_by_hand():
    means = {
        "a": {"dice": 0.8, "hd95": 3.0, "tre": 2.0, "ndv": 0.0},
        "b": {"dice": 0.7, "hd95": 4.0, "tre": 3.0, "ndv": 0.1},
        "c": {"dice": 0.75, "hd95": 3.0, "tre": 3.0, "ndv": 0.0},
    }
    up = {"dice": True, "hd95": False, "tre": False, "ndv": False}
    found = validation_scores(means, up)
    assert found == pytest.approx({"a": 1.0, "b": 0.0, "c": 0.5 / 6 + 1 / 6 + 0 + 1 / 3})
    for values in means.values():
        del values["tre"]
    assert validation_scores(means, up)["c"] == pytest.approx((0.5 / 6 + 1 / 6 + 1 / 3) / (2 / 3))
    assert np.isnan(validation_scores({"a": {}}, up)["a"])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_scores_stay_between_0_and_1(column):
    means = {str(i): {"dice": v} for i, v in enumerate(column)}
    found = validation_scores(means, {"dice": True})
    assert max(found.values()) == pytest.approx(1) and min(found.values()) >= 0


def test_ranks_by_significance():
    rng = np.random.default_rng(3)
    base = rng.standard_normal(20)
    noise = 0.01 * rng.standard_normal((4, 20))
    values = {"best": base + 2 + noise[0], "tie1": base + 1 + noise[1],
              "tie2": base + 1 + noise[2], "worst": base + noise[3]}  # fmt: skip
    assert significance_scores(values, True) == pytest.approx(
        {"best": 1.0, "tie1": 0.55, "tie2": 0.55, "worst": 0.1}
    )
    turned = significance_scores(values, False)
    assert turned["worst"] == 1.0 and turned["best"] == pytest.approx(0.1)
    assert significance_scores({"only": base}, True) == {"only": 1.0}


@pytest.mark.parametrize(("a", "b"), [([1, 2], [1]), ([], []), ([[1]], [[1]])])
def test_values_must_belong_together(a, b):
    with pytest.raises(InputError, match="per case"):
        wilcoxon_p(a, b)
