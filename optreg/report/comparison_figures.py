"""Figures of a comparison, as images inside the page."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Any

import numpy as np

from optreg import plot
from optreg.compare import Comparison
from optreg.metrics import METRICS

__all__ = ["as_image", "boxes", "new_figure", "plain", "scatter", "significance"]

_LEVELS = ((0.001, "< .001", "#0b5f53"), (0.01, "< .01", "#3a9d8e"), (0.05, "< .05", "#a5d8cf"))
_NOT_SIGNIFICANT = ("n. s.", "#e9edf0")


def significance(comparison: Comparison, metric: str) -> str:
    """Upper triangle: one square per pair of methods."""
    from matplotlib.patches import Rectangle

    names = comparison.ordered
    p_values = comparison.p_values(metric)
    side = 0.36 * len(names) + 1.1
    figure, axes = new_figure(side + 1.4, max(side, 1.9))
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            if j > i:
                p = p_values[(a, b) if (a, b) in p_values else (b, a)]
                colour = next((c for level, _, c in _LEVELS if p < level), _NOT_SIGNIFICANT[1])
                axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, color=colour, ec="white", lw=2))
    axes.set(xlim=(0.5, len(names) - 0.5), ylim=(len(names) - 1.5, -0.5), aspect="equal")
    words = [plain(name) for name in names]
    axes.set_xticks(range(1, len(names)), words[1:], rotation=60, ha="left")
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(names) - 1), words[:-1])
    axes.tick_params(length=0, labelsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    key = [
        Rectangle((0, 0), 1, 1, color=colour)
        for colour in (*(c for _, _, c in _LEVELS), _NOT_SIGNIFICANT[1])
    ]
    meanings = [*(w for _, w, _ in _LEVELS), _NOT_SIGNIFICANT[0]]
    axes.legend(
        key, meanings, title=f"{METRICS[metric].title}: p", loc="upper left",
        bbox_to_anchor=(1.02, 1), frameon=False, fontsize=8, title_fontsize=8,
    )  # fmt: skip
    return as_image(figure, f"Significance of the differences in {METRICS[metric].title}")


def boxes(comparison: Comparison) -> str:
    """A box and a mark per pair with a finite value, for each method and metric."""
    names, images = comparison.ordered, []
    for metric in ("dice", "hd95", "tre", "sdlogj"):
        if metric not in comparison.metrics:
            continue
        values = {n: v[np.isfinite(v)] for n, v in comparison.values(metric).items()}
        figure, axes = new_figure(7.5, max(1.6, 0.32 * len(names) + 0.9))
        axes.boxplot(
            [values[n] for n in names], orientation="horizontal", widths=0.6, showfliers=False,
            medianprops={"color": "#0b7f6d", "linewidth": 2},
        )  # fmt: skip
        for row, name in enumerate(names, start=1):
            spread = np.linspace(-0.18, 0.18, len(values[name]))
            axes.plot(values[name], row + spread, ".", color="#5b55c9", alpha=0.5, markersize=4)
        axes.set_yticks(range(1, len(names) + 1), [plain(name) for name in names])
        axes.invert_yaxis()
        axes.set_xlabel(comparison.title(metric))
        axes.grid(axis="x", alpha=0.3)
        images.append(as_image(figure, f"{METRICS[metric].title} of all methods"))
    return "".join(images)


def scatter(comparison: Comparison) -> str:
    """Mean Dice of each method against its mean SDlogJ."""
    if not {"dice", "sdlogj"} <= set(comparison.metrics):
        return ""
    figure, axes = new_figure(7.5, 4.5)
    for number, name in enumerate(comparison.ordered):
        means = comparison.means[name]
        axes.plot(means["sdlogj"], means["dice"], "o", color=f"C{number % 10}", markersize=7)
        axes.annotate(
            plain(name), (means["sdlogj"], means["dice"]), xytext=(6, 3),
            textcoords="offset points", fontsize=8,
        )  # fmt: skip
    axes.margins(x=0.15, y=0.1)  # names stand to the right of their points
    axes.set(xlabel="SDlogJ (rougher to the right)", ylabel="Dice")
    axes.grid(alpha=0.3)
    return as_image(figure, "Mean Dice against SDlogJ")


def new_figure(width: float, height: float, tiles: tuple[int, int] = (1, 1)) -> tuple[Any, Any]:
    """Figure of a size in inches and its axes, one or an array of them."""
    plot.drawing_library()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(*tiles)


def plain(text: str) -> str:
    """Text to be drawn as it is: matplotlib takes what is between dollar signs for formulas."""
    return text.replace("$", r"\$")


def as_image(figure: Any, words: str) -> str:
    """The figure inside an HTML tag; `words` are for those who cannot see it."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{data}">'
