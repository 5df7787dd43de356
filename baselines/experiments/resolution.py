"""Voxel size: what it does to accuracy, time and memory.

Both images are resampled. Accuracy is judged by the label maps as they are, on their own grid, to
which the field is brought back. Voxels below the scans' own hold no new information: they show what
a finer scan would cost.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import process
import tables
from dataset import Pair, read_task
from experiments import report
from experiments.perturbations import at_resolution
from experiments.runs import Runs, finished, overlap, read_scans, regularity
from methods import Method
from optreg.io import load_image, save_image

ACCURACY_MM = (2.0, 1.5, 1.0, 0.8)
COST_MM = (2.0, 1.5, 1.0, 0.8, 0.6)
REFERENCE = "1 mm"
_REPEATS = 3
_TASK = "segmentation"


def run(args: argparse.Namespace, runs: Runs, wanted: list[Method]) -> None:
    """Accuracy on every pair, cost on the first; ``resolution.md``, ``.json``, ``.png``."""
    pairs = read_task(args.data, _TASK)[: args.pairs]
    text, content = [], {}
    for method in wanted:
        # Round by round, so that a disturbance does not fall on one size alone.
        rounds = [
            [_cost(runs, method, pairs[0], mm, number) for mm in COST_MM]
            for number in range(_REPEATS)
        ]
        records = {
            f"{mm:g} mm": finished({p.name: _accuracy(runs, method, p, mm) for p in pairs})
            for mm in ACCURACY_MM
        }
        # In this process, where the time of the processor can be told from that of the clock.
        first = [_accuracy(runs, method, pairs[0], mm) for mm in COST_MM]
        sizes = _summary(rounds, [numbers.get("cpu_seconds") for numbers in first])
        content[method.name] = {"accuracy": records, "cost": sizes}
        table = report.compared("voxels", records, REFERENCE)
        text.append(f"{method.name}\n\n{table}\n{_cost_table(sizes)}")
    report.write(args.output, "resolution", "\n".join(text), content)
    _draw(args.output / "resolution.png", content)


def _accuracy(runs: Runs, method: Method, pair: Pair, voxel_mm: float) -> dict:
    def compute() -> dict:
        fixed, moving = read_scans(pair)
        images = [at_resolution(scan.image, voxel_mm) for scan in (fixed, moving)]
        found = runs.register(method, *images)
        field = found.field.resample_to(fixed.image.grid)
        dice = overlap(field, fixed, moving, pair.labels)
        return {"dice": dice, **regularity(field, fixed.image), **found.notes}

    name = f"resolution/{method.name}/{pair.name}/{voxel_mm:g}mm"
    return runs.kept(name, method.settings, compute)


def _cost(runs: Runs, method: Method, pair: Pair, voxel_mm: float, number: int) -> dict:
    """Time and peak memory, in a process of its own."""

    def compute() -> dict:
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for path in (pair.images.fixed, pair.images.moving):
                image = at_resolution(load_image(path), voxel_mm)
                paths.append(Path(folder) / path.name)
                save_image(paths[-1], image.data, image.grid)
            record = process.call(
                method.python(runs.envs),
                method.script,
                (paths[0], paths[1]),
                Path(folder) / "found",
                threads=runs.threads,
                settings=method.settings,
                limit_s=runs.limit_s,
            )
        numbers = {key: record[key] for key in ("seconds", "peak_memory_mb")}
        # Reading compressed files is not registration.
        numbers["seconds"] = record["notes"].get("timings_s", {}).get("total", numbers["seconds"])
        return {"voxel_mm": voxel_mm, "voxels": int(np.prod(image.shape)), **numbers}

    name = f"resolution/{method.name}/cost/{voxel_mm:g}mm_{number}"
    return runs.kept(name, method.settings, compute)


def _summary(rounds: list[list[dict]], cpu: list[float | None]) -> list[dict[str, Any]]:
    """Shortest and middle time, and the largest memory, of each voxel size."""
    sizes = []
    for runs, cpu_s in zip(zip(*rounds, strict=True), cpu, strict=True):
        done = [run for run in runs if "failed" not in run]
        if not done:
            continue
        seconds = [run["seconds"] for run in done]
        sizes.append(
            {
                "voxel_mm": done[0]["voxel_mm"],
                "millions": done[0]["voxels"] / 1e6,
                "least_s": min(seconds),
                "median_s": float(np.median(seconds)),
                "cpu_s": cpu_s,
                "peak_mb": max(run["peak_memory_mb"] for run in done),
            }
        )
    return sizes


def _cost_table(sizes: list[dict[str, Any]]) -> str:
    rows = [
        ["voxels", "millions", "seconds, least", "median", "CPU seconds", "CPU s per million",
         "peak MB", "MB per million"]
    ]  # fmt: skip
    for size in sizes:
        cpu = size["cpu_s"]
        rows.append(
            [
                f"{size['voxel_mm']:g} mm",
                f"{size['millions']:.2f}",
                f"{size['least_s']:.2f}",
                f"{size['median_s']:.2f}",
                f"{cpu:.1f}" if cpu else "",
                f"{cpu / size['millions']:.2f}" if cpu else "",
                f"{size['peak_mb']:.0f}",
                f"{size['peak_mb'] / size['millions']:.0f}",
            ]
        )
    return tables.table(rows)


def _draw(path: Path, content: dict[str, dict]) -> None:
    with report.Drawing(path, columns=3, size=(8.5, 2.9)) as (left, middle, right):
        for method, found in content.items():
            for pair in tables.common_pairs(found["accuracy"]):
                dice = [own[pair]["dice"] for own in found["accuracy"].values()]
                left.plot(ACCURACY_MM, dice, "o-", markersize=3, linewidth=0.8)
            sizes = found["cost"]
            x = [size["millions"] for size in sizes]
            key = "cpu_s" if all(size["cpu_s"] for size in sizes) else "least_s"
            middle.loglog(x, [size[key] for size in sizes], "o-", label=method)
            middle.loglog(x, [sizes[0][key] / x[0] * v for v in x], ":", color="grey")
            right.loglog(x, [size["peak_mb"] for size in sizes], "o-", label=method)
        left.set_xlabel("voxel size, mm")
        left.set_ylabel("mean Dice of a pair (1 mm labels)")
        left.invert_xaxis()
        middle.set_ylabel("CPU seconds (dotted: as the voxels)")
        right.set_ylabel("peak memory of the process, MB")
        for axes in (middle, right):
            axes.set_xlabel("million voxels")
            axes.legend(fontsize=7)
