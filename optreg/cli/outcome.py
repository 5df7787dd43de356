"""What a registration leaves behind: files in a folder and a table at the terminal."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optreg.cli.console import Reporter, print_table
from optreg.cli.inputs import onto_grid
from optreg.errors import ConfigError
from optreg.image import Image

if TYPE_CHECKING:
    from optreg.result import Registration
    from optreg.views import Views

__all__ = [
    "Outcome",
    "judge",
    "metric_rows",
    "pictures_wanted",
    "print_outcome",
    "write_outcome",
]

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


@dataclass(frozen=True, eq=False)
class Outcome:
    """A registration and how good it is."""

    result: Registration
    metrics: dict[str, dict[str, Any]]
    before: dict[str, dict[str, Any]]
    views: Views
    fixed_labels: Image | None = None
    warped_labels: Image | None = None


def judge(
    result: Registration, fixed_labels: Image | None = None, moving_labels: Image | None = None
) -> Outcome:
    """Measure a registration, with labels where they are given."""
    from optreg.metrics import evaluate
    from optreg.transform import DisplacementField
    from optreg.views import collect, foreground

    grid = result.fixed.grid
    common: dict[str, Any] = {"fixed_mask": foreground(result.fixed.data)}
    if fixed_labels is None or moving_labels is None:
        metrics = evaluate(result, inverse=result.inverse, **common)
        return Outcome(result, metrics, {}, collect(result))
    fixed_labels = onto_grid(fixed_labels, grid, "the fixed image")
    common |= {"fixed_labels": fixed_labels, "moving_labels": moving_labels}
    metrics = evaluate(result, inverse=result.inverse, **common)
    before = evaluate(DisplacementField.identity(grid, result.moving.grid), **common)
    warped = result.transform.apply(moving_labels, "nearest")
    views = collect(result, fixed_labels, warped)
    return Outcome(result, metrics, before, views, fixed_labels, warped)


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
    return True


def write_outcome(
    folder: Path,
    outcome: Outcome,
    *,
    pictures: bool,
    title: str | None = None,
    report: Reporter = lambda stage, fraction: None,
    formats: tuple[str, ...] = (),
) -> None:
    """Write result, metrics, further field formats, report and overview into a new folder.

    Parameters
    ----------
    folder : Path
        Existing and without such files.
    formats : tuple of str
        Of the field besides the challenge's, which is always written; "itk" adds two files.
    """
    from optreg.io import save_image, write_field
    from optreg.io.tables import json_text

    result, grid = outcome.result, outcome.result.fixed.grid
    report("writing", 0.0)
    result.save(folder, overwrite=True)
    (folder / "metrics.json").write_text(json_text(outcome.metrics), encoding="utf-8")
    if "itk" in formats:
        write_field(folder / "disp_itk.nii.gz", result.disp, grid, format="itk")
        write_field(folder / "inverse_itk.nii.gz", result.inverse, grid, format="itk")
    if outcome.warped_labels is not None:
        save_image(folder / "warped_labels.nii.gz", outcome.warped_labels.data, grid)
    report("writing", 0.5)
    if pictures:
        from optreg.plot import save_overview
        from optreg.report import write_report

        save_overview(folder / "overview.png", result, title=title, views=outcome.views)
        report("writing", 0.75)
        write_report(
            folder / "report.html",
            result,
            metrics=outcome.metrics,
            metrics_before=outcome.before,
            title=title,
            views=outcome.views,
        )
    report("writing", 1.0)


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
    start, end = outcome.views.mean_difference
    rows.append(("mean difference of intensities, %", f"{100 * start:.1f}", f"{100 * end:.1f}"))
    rows.append(("seconds", "", f"{result.timings.get('total', math.nan):.1f}"))
    print_table(rows, header=("", "before", "after"))
    print(f"\n{result.status.value}")
