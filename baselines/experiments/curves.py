"""Accuracy against time: presets, numbers of iterations, and other methods' earlier records.

Seconds are those of a machine where other work may run; CPU seconds, summed over the threads of
optreg, depend on that less.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import methods
import process
from dataset import Pair, read_task
from experiments import report
from experiments.runs import OWN_SCRIPT, Runs, finished, judged
from methods import Method
from optreg_method import configuration

_LOWEST = 0.5
"""Dice below which a point is not drawn: without deformation a method is off the scale."""
FACTORS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
_TASK = "segmentation"


def with_iterations(method: Method, factor: float) -> Method:
    """A preset of optreg with so many times its iterations, at least one a level."""
    config = configuration(**{"changes": None, **method.settings}).continuous
    counts = [max(1, round(factor * n)) for n in config.iterations]
    structure = [min(s, n) for s, n in zip(config.structure_iterations, counts, strict=True)]
    changes = {"continuous": {"iterations": counts, "structure_iterations": structure}}
    name = f"{method.name} x {factor:g}"
    return replace(method, name=name, settings={**method.settings, "changes": changes})


def earlier(folder: Path, pairs: list[Pair]) -> dict[str, dict[str, dict[str, Any]]]:
    """Records of `compare.py` by method and pair, of methods other than optreg that have all."""
    found = {}
    for own in sorted(p for p in folder.iterdir() if p.is_dir()):
        paths = [process.beside(own / pair.name, ".metrics.json") for pair in pairs]
        known = own.name in methods.NAMES and methods.named(own.name).script not in ("", OWN_SCRIPT)
        if known and all(path.exists() for path in paths):
            records = (json.loads(path.read_text()) for path in paths)
            found[own.name] = {p.name: r for p, r in zip(pairs, records, strict=True)}
    return found


def run(args: argparse.Namespace, runs: Runs, wanted: list[Method]) -> None:
    """Every preset and number of iterations on every pair; ``curves.md``, ``.json``, ``.png``."""
    pairs = read_task(args.data, _TASK)[: args.pairs]
    ours = [m for m in wanted if m.script == OWN_SCRIPT]
    if not ours:
        raise ValueError("--methods: name a preset of optreg; others come from --records")
    variants = [with_iterations(ours[0], f) if f != 1 else ours[0] for f in FACTORS] + ours[1:]
    records = {
        method.name: finished({p.name: judged(runs, "curves", method, p) for p in pairs})
        for method in variants
    }
    if args.records:
        records |= earlier(args.records, pairs)
    columns = (("seconds", "seconds", "{:.1f}"), ("cpu_seconds", "CPU seconds", "{:.1f}"))
    text = report.compared("method", records, ours[0].name, columns)
    report.write(args.output, "curves", text, records)
    _draw(args.output / "curves.png", records, ours[0].name, runs.threads)


def _draw(path: Path, records: dict[str, dict[str, dict]], ours: str, threads: int) -> None:
    points = {}
    for name, own in records.items():
        seconds = [n["cpu_seconds"] / threads if "cpu_seconds" in n else n.get("seconds")
                   for n in own.values()]  # fmt: skip
        dice = [n["dice"] for n in own.values()]
        if own and None not in seconds and min(dice) > _LOWEST:
            points[name] = np.mean(seconds), np.mean(dice)
    line = [name for name in points if name == ours or name.startswith(f"{ours} x ")]
    with report.Drawing(path) as axes:
        axes.semilogx(*zip(*(points[n] for n in line), strict=True), "-", color="C0")
        for name, (x, y) in points.items():
            own = name.startswith("optreg")
            axes.plot(x, y, "o" if name in line else "s", color="C0" if own else "C1")
            label = name.removeprefix(f"{ours} ")
            below = (4, -9) if name in line else (-4, 6)
            side = ("left", below) if own else ("right", (-6, -3))
            axes.annotate(
                label, (x, y), side[1], textcoords="offset points", ha=side[0], fontsize=7
            )
        axes.set_xlabel("seconds; of optreg, CPU seconds over the number of threads")
        axes.set_ylabel("mean Dice")
