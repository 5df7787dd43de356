"""What the commands say of a registration that has ended, and which files it leaves behind."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optreg.cli.console import print_table
from optreg.errors import ConfigError

if TYPE_CHECKING:
    from optreg.report.outcome import Outcome

__all__ = ["metric_rows", "pictures_wanted", "print_missing", "print_outcome"]

_log = logging.getLogger("optreg")

# What the table shows of the metrics: (group, key, words, decimals).
_SHOWN = (
    ("dice", "mean_without_background", "Dice (without background)", 3),
    ("hd95", "mean_without_background_mm", "HD95, mm", 2),
    ("tre", "mean_mm", "landmark error, mm", 2),
    ("true_error", "mean_mm", "distance to the truth, mm", 2),
    ("true_error", "p95_mm", "  95th percentile, mm", 2),
    ("folding", "ndv_percent", "non-diffeomorphic volume, %", 4),
    ("folding", "folded_voxels", "folded voxels", 0),
    ("smoothness", "sdlogj", "SD of log Jacobian", 3),
    ("inverse_consistency", "mean_vox", "inverse consistency, voxels", 3),
    ("inverse_consistency", "p99_vox", "  99th percentile, voxels", 3),
)
# An undeformed grid is perfectly smooth: only these have a start to compare with.
_WITH_START = ("dice", "hd95", "tre", "true_error")


def pictures_wanted(asked: bool | None) -> bool:
    """Whether to draw: asked for (then matplotlib must be there), or possible."""
    if asked is False:
        return False
    try:
        from optreg.plot import drawing_library

        drawing_library()
    except ConfigError as err:
        if asked:
            raise
        _log.warning("no report and no overview: %s", err)
        return False
    except Exception:  # an installation that is broken: said when pictures are made
        return True
    return True


def metric_rows(
    metrics: Mapping[str, Mapping[str, Any]], before: Mapping[str, Mapping[str, Any]] | None = None
) -> list[tuple[str, str, str]]:
    """Rows (words, before, after) of the metrics that are there."""
    rows = []
    for group, key, words, decimals in _SHOWN:
        value = metrics.get(group, {}).get(key)
        if value is None:
            continue
        start = (before or {}).get(group, {}).get(key) if group in _WITH_START else None
        then = "" if start is None else f"{start:.{decimals}f}"
        rows.append((words, then, f"{value:.{decimals}f}"))
    return rows


def print_outcome(outcome: Outcome) -> None:
    """Print the table that ends a registration."""
    result = outcome.result
    rows = metric_rows(outcome.metrics, outcome.before)
    if outcome.views is not None:
        start, end = outcome.views.mean_difference
        rows.append(("mean difference of intensities, %", f"{100 * start:.1f}", f"{100 * end:.1f}"))
    rows.append(("seconds", "", f"{result.timings.get('total', math.nan):.1f}"))
    print_table(rows, header=("", "before", "after"))
    print(f"\n{result.status.value}")
    if outcome.verdict is not None:
        print(" ".join([outcome.verdict.headline, *outcome.verdict.reasons]))


def print_missing(missing: Sequence[str]) -> None:
    """Print what a result lacks, if anything: the notices scroll away."""
    if missing:
        print(f"\nmissing  {', '.join(missing)}")
