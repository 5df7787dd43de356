"""Dice against roughness: each method over a range of its own smoothing.

``python baselines/curve.py --data DATA --methods greedy-tuned,optreg-default --output OUT``

A single setting says little, since any method buys Dice with roughness. Written are ``curve.png``,
``curve.md`` and ``curve.json``, with a verdict for each point of the other methods: whether it lies
above the curve of optreg.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import compare
import methods
import process
import tables
from dataset import read_tasks
from optreg.errors import OptregError

OURS = "optreg"
# What `methods.smoothed` makes of a number differs between the methods; see there.
VALUES = {
    "greedy": (0.35, 0.5, 0.7071, 1.0, 1.4),
    "ants": (0.0, 0.25, 0.5, 1.0),
    OURS: (0.5, 0.7, 1.0, 1.4, 2.0, 3.0),
}
_SCORE = "dice"

Point = tuple[float, float]
"""SDlogJ and Dice."""


def height(curve: Sequence[Point], roughness: float) -> float | None:
    """Dice of a curve at a roughness, linear between its points.

    Beyond its roughest point the curve goes on level: a smoother field with that Dice exists, and
    it is better. None to the left of its smoothest point, where nothing is known. The same holds
    between points: the curve never falls.
    """
    points = sorted(curve)
    if not points or roughness < points[0][0]:
        return None
    x = [p[0] for p in points]
    y = np.maximum.accumulate([p[1] for p in points])
    return float(np.interp(roughness, x, y))


def verdicts(curves: Mapping[str, Sequence[tuple[str, Point]]]) -> list[dict[str, Any]]:
    """For each point of the others: how far it lies above the highest curve of ours.

    Parameters
    ----------
    curves : mapping
        Method -> (name of the setting, point).

    Returns
    -------
    list of dict
        ``setting``, ``sdlogj``, ``dice``, ``ours`` (Dice of ours at that roughness, or None),
        ``above`` (True, False, or None where our curves do not reach).
    """
    ours = [[point for _, point in c] for m, c in curves.items() if m.startswith(OURS)]
    found = []
    for method, curve in curves.items():
        if method.startswith(OURS):
            continue
        for setting, (roughness, score) in curve:
            heights = [h for c in ours if (h := height(c, roughness)) is not None]
            best = max(heights, default=None)
            found.append(
                {
                    "setting": setting,
                    "sdlogj": roughness,
                    "dice": score,
                    "ours": best,
                    "above": None if best is None else score > best,
                }
            )
    return found


def draw(curves: Mapping[str, Sequence[tuple[str, Point]]], path: Path) -> None:
    """Figure of all curves, one mark per setting."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for method, curve in curves.items():
        x, y = zip(*sorted(point for _, point in curve), strict=True)
        style = "o-" if method.startswith(OURS) else "s--"
        axes.plot(x, y, style, label=method, markersize=5)
        for setting, point in curve:
            axes.annotate(
                setting.rpartition("@")[2],
                point,
                textcoords="offset points",
                xytext=(4, -10),
                fontsize=7,
            )
    axes.set_xlabel("SDlogJ, standard deviation of log J (rougher to the right)")
    axes.set_ylabel("mean Dice")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


def _values(text: str) -> tuple[str, tuple[float, ...]]:
    name, _, numbers = text.partition("=")
    try:
        return methods.named(name).name, tuple(float(n) for n in numbers.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    compare.add_options(parser)
    parser.add_argument("--methods", default="greedy-tuned,optreg-default", metavar="A,B,...")
    parser.add_argument("--task", default="segmentation")
    parser.add_argument(
        "--values",
        type=_values,
        action="append",
        default=[],
        metavar="METHOD=V,V,...",
        help="smoothing settings of a method instead of the built-in ones",
    )
    parser.add_argument("--keep-fields", dest="drop_fields", action="store_false")
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    given = dict(args.values)
    try:
        names = args.methods.split(",")
        settings = {
            name: [
                methods.smoothed(name, value)
                for value in given.get(name, VALUES.get(name.partition("-")[0], ()))
            ]
            for name in names
        }
        for variants in settings.values():
            for method in variants:
                method.python(args.envs)
        pairs = read_tasks(args.data, [args.task])[args.task][: args.pairs]
    except (ValueError, OSError, OptregError) as error:
        parser.exit(2, f"error: {error}\n")
    every = [method for variants in settings.values() for method in variants]
    records, failures = compare.collect(every, pairs, args)
    summary = tables.summarize(records, tables.common_pairs(records))
    curves = {
        name: [
            (m.name, (numbers["sdlogj"]["mean"], numbers[_SCORE]["mean"]))
            for m in variants
            if _SCORE in (numbers := summary.get(m.name, {}))
        ]
        for name, variants in settings.items()
    }
    write(args.output, curves, summary)
    return compare.SOME_FAILED if failures else 0


def write(
    output: Path, curves: dict[str, list[tuple[str, Point]]], summary: dict[str, Any]
) -> None:
    """Figure, table and verdicts in the output folder."""
    curves = {method: curve for method, curve in curves.items() if curve}
    found = verdicts(curves)
    above = [v["setting"] for v in found if v["above"]]
    unknown = [v["setting"] for v in found if v["above"] is None]
    lines = [tables.markdown(summary)]
    if found:
        lines.append(f"Points above the curve of {OURS}: {', '.join(above) or 'none'}.\n")
    if unknown:
        lines.append(f"Smoother than any setting of {OURS} here: {', '.join(unknown)}.\n")
    text = "\n".join(lines)
    output.mkdir(parents=True, exist_ok=True)
    content = {"summary": summary, "verdicts": found}
    process.write_text(output / "curve.json", json.dumps(content, indent=1))
    process.write_text(output / "curve.md", text)
    draw(curves, output / "curve.png")
    print("\n" + text)


if __name__ == "__main__":
    sys.exit(main())
