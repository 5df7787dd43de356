"""The report of one registration: one HTML file that needs nothing else, ever."""

from __future__ import annotations

import json
import os
import re
from datetime import date
from html import escape
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optreg import __version__, plot
from optreg.image import Image
from optreg.io.files import check_writable, write_atomic
from optreg.report import curves, numbers, pictures
from optreg.report.verdict import Verdict, judge_result
from optreg.views import Views, collect

if TYPE_CHECKING:
    from optreg.result import Registration

__all__ = ["write_report"]

Labels = Image | NDArray[Any] | None


def write_report(
    path: str | os.PathLike[str],
    result: Registration,
    *,
    metrics: numbers.Metrics | None = None,
    metrics_before: numbers.Metrics | None = None,
    fixed_labels: Labels = None,
    warped_labels: Labels = None,
    title: str | None = None,
    views: Views | None = None,
    verdict: Verdict | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the report of a pair.

    Styles, script and images are inside the file: it works offline, in any browser, in ten years.

    Parameters
    ----------
    path : path
        The HTML file to write.
    result : Registration
    metrics : dict of dict, optional
        What `optreg.evaluate` returned; groups of other names are shown as they are.
    metrics_before : dict of dict, optional
        The same without registration: numbers then read "before -> after".
    fixed_labels, warped_labels : Image or (X, Y, Z) array, optional
        Label maps on the fixed grid, drawn as outlines. Without the first, the outlines follow
        intensities of the fixed image.
    title : str, optional
        Headline; "moving on fixed" by their names if absent.
    views : Views, optional
        What `optreg.views.collect` returned for `result`, where it is at hand.
    verdict : Verdict, optional
        Likewise, of `optreg.report.verdict.judge_result`.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    Path

    Raises
    ------
    ConfigError
        matplotlib is not installed.
    OutputError
        The file exists and `overwrite` is not set, or it cannot be written.
    """
    check_writable(path, overwrite)
    shown = views or collect(result, fixed_labels, warped_labels)
    title = title or plot.default_title(result)
    page = _page(result, shown, metrics, metrics_before, title, verdict)
    return write_atomic(path, [page.encode()], overwrite)


def _page(
    result: Registration,
    views: Views,
    metrics: numbers.Metrics | None,
    before: numbers.Metrics | None,
    title: str,
    verdict: Verdict | None,
) -> str:
    verdict = verdict or judge_result(result, views.mean_difference, metrics, before)
    status = str(result.status.value)
    more = [*verdict.reasons, f"{status[0].upper()}{status[1:]}."]
    # "<" never appears inside the JSON, so that no text in it can end the script element.
    data = json.dumps(pictures.viewer_data(views), separators=(",", ":")).replace("<", "\\u003c")
    return _filled(
        {
            "TITLE": escape(title),
            "VERSION": escape(__version__),
            "DATE": date.today().isoformat(),
            "STYLE": _asset("style.css"),
            "SCRIPT": _asset("viewer.js"),
            "DATA": data,
            "VERDICT_LEVEL": verdict.level,
            "VERDICT": escape(verdict.headline),
            "VERDICT_MORE": escape(" ".join(more)),
            "TILES": numbers.tiles(result, views.mean_difference, metrics, before),
            "OUTLINE_KEY": _outline_key(views),
            "DIFFERENCE_BAR": pictures.colour_bar(plot.DIFFERENCE_MAP),
            "DIFFERENCE_TOP": f"{100 * pictures.difference_limit(views):.0f}\u202f%",
            "JACOBIAN_BAR": pictures.colour_bar(plot.JACOBIAN_MAP),
            "JACOBIAN_TOP": f"{plot.jacobian_limit(views):g}",
            "FOLD_KEY": _fold_key(views),
            "CURVES": curves.loss_curves(result.history),
            "TIMES": curves.time_bars(result.timings),
            "TABLES": numbers.tables(result, metrics, before),
            "LABELS": numbers.label_table(metrics, before),
            "SETUP": numbers.setup_tables(result),
            "CONFIG": escape(result.config.to_toml()),
        }
    )


def _filled(parts: dict[str, str]) -> str:
    # In one pass: text that happens to look like a placeholder stays as it is.
    return re.sub(r"@([A-Z_]+)@", lambda match: parts[match[1]], _asset("template.html"))


def _asset(name: str) -> str:
    return resources.files("optreg.report").joinpath(name).read_text(encoding="utf-8")


def _outline_key(views: Views) -> str:
    def swatch(colour: str, words: str) -> str:
        return f'<i style="border-color:{colour}"></i>{words} &ensp; '

    what = "labels of the fixed image" if "fixed" in views.labels else "outlines of the fixed image"
    text = swatch(plot.FIXED_COLOUR, what)
    if "warped" in views.labels:
        text += swatch(plot.WARPED_COLOUR, "warped labels of the moving image")
    return text + (
        '<span class="keys"><kbd>\u2190</kbd> <kbd>\u2192</kbd> wipe &ensp; <kbd>\u2191</kbd> '
        "<kbd>\u2193</kbd> slice &ensp; <kbd>space</kbd> swap &ensp; <kbd>F</kbd> flicker &ensp; "
        "<kbd>O</kbd> outlines &ensp; <kbd>G</kbd> grid</span>"
    )


def _fold_key(views: Views) -> str:
    if not np.any(views.folded & views.inside):
        return ""
    return f'<i style="background:{plot.FOLD_COLOUR}"></i>folded'
