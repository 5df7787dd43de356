"""Means over pairs, as JSON and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Records = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Method -> pair -> numbers."""

# Key of a number, heading, format of its mean, how pairs are summed up.
COLUMNS = (
    ("dice", "Dice", "{:.4f}", "mean"),
    ("dice_without_background", "without background", "{:.4f}", "mean"),
    ("dice_cortex", "cortex", "{:.3f}", "mean"),
    ("dice_other", "other", "{:.3f}", "mean"),
    ("hd95_mm", "HD95 mm", "{:.3f}", "mean"),
    ("tre_mm", "TRE mm", "{:.3f}", "mean"),
    ("tre_labels_mm", "TRE mm (label maps)", "{:.3f}", "mean"),
    ("sdlogj", "SDlogJ", "{:.3f}", "mean"),
    ("ndv_percent", "NDV %", "{:.5f}", "mean"),
    ("folded_voxels", "folded voxels", "{:.0f}", "max"),
    ("inverse_mean_vox", "inverse error, voxels", "{:.4f}", "mean"),
    ("seconds", "seconds", "{:.1f}", "mean"),
    ("peak_memory_mb", "peak MB", "{:.0f}", "max"),
)
_WITH_SPREAD = ("dice", "dice_without_background", "hd95_mm", "tre_mm")


def common_pairs(records: Records) -> list[str]:
    """Pairs that every method has finished; means over different pairs do not compare.

    A method without a single pair has no row and does not count.
    """
    finished = [set(pairs) for pairs in records.values() if pairs]
    return sorted(set.intersection(*finished)) if finished else []


def summarize(records: Records, pairs: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean, standard deviation, largest value and count of each number, by method.

    A number that a method has for only some of the pairs is left out.
    """
    summary: dict[str, dict[str, dict[str, float]]] = {}
    for method, found in records.items():
        if not found:
            continue
        summary[method] = {}
        for key, *_ in COLUMNS:
            values = [found[p][key] for p in pairs if found[p].get(key) is not None]
            if pairs and len(values) == len(pairs):
                summary[method][key] = {
                    "mean": float(np.mean(values)),
                    "std": float(np.std(values)),
                    "max": float(np.max(values)),
                    "n": len(values),
                }
    return summary


def by_contrast(records: Records, pairs: Sequence[str]) -> str:
    """Table of the Dice by contrast of the moving image, beside that of the same people's pair of
    one contrast; empty where no pair has two contrasts.

    Means are over the pairs whose counterpart has been registered by the same method.
    """
    rows = [["method", "moving contrast", "pairs", "Dice", "one contrast", "difference"]]
    for method, found in records.items():
        values: dict[str, list[tuple[float, float]]] = {}
        for name in pairs:
            person, _, contrast = name.rpartition("_")
            counterpart = f"{person}_{name.split('_')[1]}"
            if counterpart != name and name in found and counterpart in found:
                both = found[name]["dice"], found[counterpart]["dice"]
                values.setdefault(contrast, []).append(both)
        for contrast, dice in sorted(values.items()):
            other, same = np.mean(dice, axis=0)
            means = f"{other:.4f}", f"{same:.4f}", f"{other - same:+.4f}"
            rows.append([method, contrast, str(len(dice)), *means])
    return table(rows) if len(rows) > 1 else ""


def markdown(summary: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Table of a summary; columns that no method has are left out."""
    shown = [c for c in COLUMNS if any(c[0] in numbers for numbers in summary.values())]
    rows = [["method", *(heading for _, heading, _, _ in shown)]]
    for method, numbers in summary.items():
        row = [method]
        for key, _, pattern, how in shown:
            if key not in numbers:
                row.append("")
                continue
            text = pattern.format(numbers[key][how])
            if key in _WITH_SPREAD and numbers[key]["n"] > 1:
                text += " ± " + pattern.format(numbers[key]["std"])
            row.append(text)
        rows.append(row)
    return table(rows)


def failures(failed: Mapping[str, Mapping[str, str]], pairs: int) -> str:
    """Table of what failed, one row a method, with the reason of the first; empty for nothing."""
    rows = [["method", "failed", "the first"]]
    for method, found in failed.items():
        if found:
            first = " ".join(next(iter(found.values())).split()).replace("|", "\\|")
            rows.append([method, f"{len(found)} of {pairs}", first])
    return table(rows) if len(rows) > 1 else ""


def table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown table of rows of text, the first one the header."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) for c, w in zip(cells, widths, strict=True)]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([line(rows[0]), rule, *map(line, rows[1:])]) + "\n"
