"""Loss curves as inline SVG and times as bars: drawn by hand, so that a report needs no library."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import Any

import numpy as np

__all__ = ["loss_curves", "time_bars"]

_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 26, 34


def _level_line(tick: float, y: float) -> str:
    """Horizontal line and label of a value."""
    return (
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" '
        f'y2="{y:.1f}"/><text x="{_LEFT - 8}" y="{y + 4:.1f}" '
        f'text-anchor="end">{_short(tick)}</text>'
    )


def loss_curves(history: Sequence[dict[str, Any]]) -> str:
    """SVG of the loss over all iterations, a band and a curve per stage and level.

    Parameters
    ----------
    history : sequence of dict
        ``stage``, ``level``, ``iteration``, ``loss``, in the order in which they happened.
        Losses that are not finite leave a gap at the end of their curve.
    """
    parts = [
        (stage, level, [step for step in steps if np.isfinite(step["loss"])])
        for (stage, level), steps in groupby(history, key=lambda s: (s["stage"], s["level"]))
    ]
    parts = [part for part in parts if part[2]]
    if not parts:
        return "<p>No iterations were recorded.</p>"
    losses = np.array([step["loss"] for _, _, steps in parts for step in steps], float)
    ticks = _ticks(float(losses.min()), float(losses.max()))
    low, high = min(ticks[0], losses.min()), max(ticks[-1], losses.max())
    total = len(losses)

    def place_x(number: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * number / max(total - 1, 1)

    def place_y(loss: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - loss) / (high - low)

    out = [
        f'<svg class="curves" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(_spoken(parts))}">'
    ]
    start = 0
    for number, (_, level, steps) in enumerate(parts):
        left = place_x(max(start - 0.5, 0))
        right = place_x(min(start + len(steps) - 0.5, total - 1))
        if number % 2 == 0:
            out.append(
                f'<rect class="band" x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}" '
                f'height="{_HEIGHT - _TOP - _BOTTOM}"/>'
            )
        # A name only where it fits: a finest level of a few iterations is a narrow band.
        name = f"level {level}" if right - left > 48 else str(level)
        out.append(
            f'<text x="{(left + right) / 2:.1f}" y="{_TOP - 9}" '
            f'text-anchor="middle">{escape(name)}</text>'
        )
        start += len(steps)
    out += [_level_line(tick, place_y(tick)) for tick in ticks]
    for tick in _ticks(0, total - 1):
        if 0 <= tick <= total - 1:
            out.append(
                f'<text x="{place_x(int(tick)):.1f}" y="{_HEIGHT - 14}" '
                f'text-anchor="middle">{tick:.0f}</text>'
            )
    out.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 1}" text-anchor="end">iterations</text>')
    start = 0
    for number, (stage, level, steps) in enumerate(parts):
        points = " ".join(
            f"{place_x(start + i):.1f},{place_y(step['loss']):.1f}" for i, step in enumerate(steps)
        )
        out.append(
            f'<polyline class="s{number % 4}" points="{points}" '
            f'data-name="{escape(_name(stage, level))}" data-first="{steps[0]["iteration"]}" '
            f'data-values="{" ".join(_short(step["loss"], 5) for step in steps)}"/>'
        )
        start += len(steps)
    out.append('<circle r="4" cx="0" cy="0"/></svg>')
    out.append(f'<p class="readout">{escape(_spoken(parts))}</p>')
    return "\n".join(out)


def time_bars(timings: dict[str, float]) -> str:
    """List of the stages with bars in proportion to their seconds, the total last."""
    stages = {name: seconds for name, seconds in timings.items() if name != "total"}
    total = timings.get("total", sum(stages.values()))
    longest = max([*stages.values(), 1e-9])
    rows = [
        f"<li><span>{escape(name.replace('_', ' '))}</span>"
        f'<i style="width:{100 * seconds / longest:.1f}%"></i><span>{seconds:.1f} s</span></li>'
        for name, seconds in stages.items()
    ]
    rows.append(f'<li class="total"><span>total</span><span></span><span>{total:.1f} s</span></li>')
    return '<ul class="bars">' + "\n".join(rows) + "</ul>"


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from at or below `low` to at or above `high`."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = int(np.floor(low / step)), int(np.ceil(high / step))
    return [k * step for k in range(first, last + 1)]


def _short(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}g}".replace("-", "\u2212")


def _name(stage: str, level: Any) -> str:
    return f"{stage}, level {level}"


def _spoken(parts: list[tuple[str, Any, list[dict[str, Any]]]]) -> str:
    return "; ".join(
        f"level {level}: {_short(steps[0]['loss'])} to {_short(steps[-1]['loss'])} in {len(steps)}"
        for _, level, steps in parts
    )
