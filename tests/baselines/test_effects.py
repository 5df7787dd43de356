"""Differences to a reference: against SciPy and by hand."""

import json

import numpy as np
import pytest
from scipy import stats

import effects

PAIRS = [f"p{i}" for i in range(8)]


@pytest.fixture
def records(rng):
    def method(shift):
        return {pair: {"dice": 0.6 + shift + 0.01 * rng.standard_normal()} for pair in PAIRS}

    found = {"ours": method(0.02), "same": method(0.02), "worse": method(0.0), "broken": {}}
    found["worse"]["p0"]["tre_mm"] = 3.0
    return found


def test_numbers(records):
    found = effects.differences(records, PAIRS, "ours")
    assert set(found) == {"dice"}  # the landmark error is known for one pair of one method
    assert set(found["dice"]) == {"same", "worse"}
    ours, worse = (np.array([records[m][p]["dice"] for p in PAIRS]) for m in ("ours", "worse"))
    numbers = found["dice"]["worse"]
    difference = worse - ours
    assert numbers["mean"] == pytest.approx(difference.mean())
    assert numbers["d"] == pytest.approx(difference.mean() / difference.std(ddof=1))
    assert numbers["d_low"] < numbers["d"] < numbers["d_high"]
    # Two methods are compared with the reference.
    assert numbers["p"] == pytest.approx(2 * stats.wilcoxon(worse, ours).pvalue)
    text = effects.markdown(found, "ours", len(PAIRS))
    assert f"{difference.mean():+.4f}" in text and "p is times 2," in text
    assert "nothing is significant" not in text


def test_too_few_pairs_are_said_to_be_too_few(records):
    few = effects.differences(records, PAIRS[:5], "ours")
    # Of five pairs, the least two-sided p is 2 / 2**5, here times two.
    assert "no p can be below 0.12" in effects.markdown(few, "ours", 5)


def test_a_difference_without_spread_has_no_bounds():
    values = {"ours": 0.75, "theirs": 0.5}
    records = {m: {p: {"dice": value} for p in PAIRS} for m, value in values.items()}
    found = effects.differences(records, PAIRS, "ours")
    json.dumps(found, allow_nan=False)
    assert found["dice"]["theirs"]["mean"] == -0.25
    assert "unbounded (unbounded to unbounded)" in effects.markdown(found, "ours", len(PAIRS))


def test_nothing_to_compare(records):
    assert effects.differences(records, PAIRS, "absent") == {}
    assert effects.differences(records, PAIRS[:1], "ours") == {}
    assert effects.markdown({}, "ours", 0) == ""
