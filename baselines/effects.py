"""Differences of every method to a reference, pair by pair: how large, and whether by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tables
from optreg.metrics.statistics import paired_effect, wilcoxon_p

# Key of a number, heading, format of a difference.
_NUMBERS = (
    ("dice", "Dice", "{:+.4f}"),
    ("tre_mm", "TRE mm", "{:+.3f}"),
    ("sdlogj", "SDlogJ", "{:+.3f}"),
)
_LEVEL = 0.05

Differences = dict[str, dict[str, dict[str, float]]]
"""Number -> method -> ``mean`` (method minus reference), ``p``, ``d``, ``d_low``, ``d_high``."""


def differences(records: tables.Records, pairs: Sequence[str], reference: str) -> Differences:
    """Method minus reference on the same pairs; empty without the reference or with one pair.

    Parameters
    ----------
    records : mapping
    pairs : sequence of str
        That every method has; a number that is missing for one of them is left out.
    reference : str
        A method.

    Returns
    -------
    dict
        ``p`` is that of Wilcoxon's signed-rank test (two-sided) times the number of methods that
        are compared with the reference (Bonferroni), at most 1; ``d`` is Cohen's d of the paired
        differences with its 95 % bootstrap interval. What is infinite is left out, as JSON has no
        infinity.
    """
    found: Differences = {}
    finished = {m: own for m, own in records.items() if own and m != reference}
    if not records.get(reference) or len(pairs) < 2:
        return found
    for key, *_ in _NUMBERS:
        values = {
            method: [own[pair][key] for pair in pairs]
            for method, own in {**finished, reference: records[reference]}.items()
            if all(key in own[pair] for pair in pairs)
        }
        theirs = values.pop(reference, None)
        if theirs is None:
            continue
        for method, own in values.items():
            effect = paired_effect(own, theirs)
            numbers = {
                "mean": sum(a - b for a, b in zip(own, theirs, strict=True)) / len(pairs),
                "p": min(1.0, len(values) * wilcoxon_p(own, theirs)),
                "d": effect.d,
                "d_low": effect.low,
                "d_high": effect.high,
            }
            finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
            found.setdefault(key, {})[method] = finite
    return found


def markdown(found: Differences, reference: str, pairs: int) -> str:
    """Table of `differences`, and whether so few pairs can be significant; empty for none."""
    if not found:
        return ""
    rows = [["method", "number", f"minus {reference}", "p", "Cohen's d (95 %)"]]
    for key, heading, pattern in _NUMBERS:
        for method, numbers in found.get(key, {}).items():
            d, low, high = (
                f"{numbers[name]:+.1f}" if name in numbers else "unbounded"
                for name in ("d", "d_low", "d_high")
            )
            difference = pattern.format(numbers["mean"])
            rows.append(
                [method, heading, difference, f"{numbers['p']:.3f}", f"{d} ({low} to {high})"]
            )
    count = max(len(methods) for methods in found.values())
    # All differences of one sign are the most that a signed-rank test can see.
    least = min(1.0, count * 2.0 ** (1 - pairs))
    text = f"\nWilcoxon's test over {pairs} pairs; p is times {count}, as many tests (Bonferroni)"
    if least >= _LEVEL:
        text += f"; with so few pairs no p can be below {least:.2f}, so nothing is significant"
    return tables.table(rows) + text + ".\n"
