"""One person scanned twice: what log J shows where nothing has changed.

The mean of log J over the brain and over each label should be near zero and its spread small;
beside it are pairs of two people, where it should not, and the volumes of the labels as drawn.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import tables
from dataset import Pair, read_task
from experiments import report
from experiments.runs import Runs, chosen, finished, overlap, read_scans, regularity
from methods import Method
from optreg.io.datasets import ImagePair
from optreg.metrics.folding import SMALLEST_DETERMINANT

_PERCENTILES = (1, 5, 50, 95, 99)
_BINS = np.linspace(-1.5, 1.5, 121)
_TWO_PEOPLE = 3


def backwards(pair: Pair) -> Pair:
    """The pair with fixed and moving image exchanged."""
    images = pair.images
    return Pair(ImagePair(images.moving, images.fixed, images.name), pair.data, pair.labels)


def numbers_of(log_j: np.ndarray) -> dict[str, float]:
    """Mean, standard deviation, percentiles, and shares beyond 5 and 10 % of volume."""
    found = {"mean": float(log_j.mean()), "sd": float(log_j.std())}
    for percent in _PERCENTILES:
        found[f"p{percent}"] = float(np.percentile(log_j, percent))
    for share in (5, 10):
        found[f"beyond_{share}"] = float((np.abs(log_j) > np.log(1 + share / 100)).mean())
    return found


def volumes(
    determinant: np.ndarray,
    fixed: np.ndarray,
    moving: np.ndarray,
    labels: tuple[int, ...] | None = None,
) -> dict[str, list[float]]:
    """By label: voxels in both maps, and what the field makes of those in the fixed one.

    Parameters
    ----------
    determinant : (X, Y, Z) ndarray
        Of the map from the fixed to the moving image.
    fixed, moving : (X, Y, Z) integer ndarray
        Label maps with voxels of one size.
    labels : tuple of int, optional
        Only these; background, 0, never counts.
    """
    largest = int(max(fixed.max(), moving.max()))
    counts = [np.bincount(m.ravel(), minlength=largest + 1) for m in (fixed, moving)]
    expected = np.bincount(fixed.ravel(), determinant.ravel().astype(float), largest + 1)
    both = np.flatnonzero((counts[0] > 0) & (counts[1] > 0))
    wanted = set(both.tolist() if labels is None else labels) - {0}
    return {
        str(label): [float(counts[0][label]), float(counts[1][label]), float(expected[label])]
        for label in both
        if label in wanted
    }


def run(args: argparse.Namespace, runs: Runs, wanted: list[Method]) -> None:
    """Every method on the rescan, both ways, and on other pairs; ``rescan.md``, ``.json``,
    ``.png``.
    """
    same = read_task(args.data, "rescan")[: args.pairs]
    groups = {
        "one person": [*same, *map(backwards, same)],
        "two people": read_task(args.data, "segmentation")[:_TWO_PEOPLE],
    }
    content = {
        method.name: {
            group: {pair.name: _numbers(runs, method, pair) for pair in groups[group]}
            for group in chosen(args.only, groups)
        }
        for method in wanted
    }
    text = [_log_table(content), _volume_table(content)]
    report.write(args.output, "rescan", "\n".join(text), content)
    _draw(args.output / "rescan.png", content)


def _numbers(runs: Runs, method: Method, pair: Pair) -> dict:
    def compute() -> dict:
        fixed, moving = read_scans(pair)
        found = runs.register(method, fixed.image, moving.image)
        determinant = found.field.jacobian()
        inside = fixed.image.data > 0
        log_j = np.log(np.maximum(determinant[inside], SMALLEST_DETERMINANT))
        maps = fixed.labels.data, moving.labels.data
        length = np.linalg.norm(found.field.to_mm()[:, inside], axis=0)
        return {
            "dice": overlap(found.field, fixed, moving, pair.labels),
            "length_mean_mm": float(length.mean()),
            **regularity(found.field, fixed.image),
            "log_j": numbers_of(log_j),
            "histogram": np.histogram(log_j, _BINS)[0].tolist(),
            "volumes": volumes(determinant, *maps, pair.labels),
            **found.notes,
        }

    return runs.kept(f"rescan/{method.name}/{pair.name}", method.settings, compute)


def _every(content: dict) -> list[tuple[str, str, str, dict]]:
    return [
        (method, group, pair, numbers)
        for method, groups in content.items()
        for group, found in groups.items()
        for pair, numbers in finished(found).items()
    ]


def _log_table(content: dict) -> str:
    rows = [
        ["method", "pair", "Dice", "mean log J", "SD", *(f"{p} %" for p in _PERCENTILES),
         "beyond 5 %", "beyond 10 %", "mean length, mm", "folded"]
    ]  # fmt: skip
    for method, group, pair, numbers in _every(content):
        log_j = numbers["log_j"]
        rows.append(
            [
                method,
                f"{group}, {pair}",
                f"{numbers['dice']:.4f}",
                f"{log_j['mean']:+.4f}",
                f"{log_j['sd']:.4f}",
                *(f"{log_j[f'p{percent}']:+.3f}" for percent in _PERCENTILES),
                *(f"{log_j[f'beyond_{share}']:.1%}" for share in (5, 10)),
                f"{numbers['length_mean_mm']:.3f}",
                f"{numbers['folded_voxels']:.0f}",
            ]
        )
    return tables.table(rows)


def changes(numbers: dict) -> tuple[np.ndarray, np.ndarray]:
    """Change of each label's volume, moving against fixed, in percent: as drawn, by the field."""
    fixed, moving, expected = np.array(list(numbers["volumes"].values())).T
    return 100 * (moving / fixed - 1), 100 * (expected / fixed - 1)


def _volume_table(content: dict) -> str:
    rows = [
        ["method", "pair", "labels", "drawn: mean size of change, %", "field: the same",
         "field: mean change, %", "field: largest", "correlation"]
    ]  # fmt: skip
    for method, group, pair, numbers in _every(content):
        drawn, found = changes(numbers)
        varies = drawn.std() > 0 and found.std() > 0
        rows.append(
            [
                method,
                f"{group}, {pair}",
                str(len(drawn)),
                f"{np.abs(drawn).mean():.2f}",
                f"{np.abs(found).mean():.2f}",
                f"{found.mean():+.2f}",
                f"{np.abs(found).max():.2f}",
                f"{np.corrcoef(drawn, found)[0, 1]:.2f}" if varies else "",
            ]
        )
    return tables.table(rows)


def _draw(path: Path, content: dict) -> None:
    middle = (_BINS[1:] + _BINS[:-1]) / 2
    with report.Drawing(path, columns=2, size=(8.0, 3.4)) as (left, right):
        shown: set[tuple[str, str]] = set()
        colours = {method: f"C{number}" for number, method in enumerate(content)}
        for method, group, _, numbers in _every(content):
            counts = np.array(numbers["histogram"])
            density = counts / counts.sum() / np.diff(_BINS)
            same = group == "one person"
            label = None if (method, group) in shown else f"{method}, {group}"
            shown.add((method, group))
            left.plot(middle, density, "-" if same else ":", color=colours[method], label=label)
            if same:
                drawn, found = changes(numbers)
                right.plot(drawn, found, ".", markersize=3, color=colours[method])
        left.set_xlabel("log J in the brain")
        left.set_ylabel("density")
        left.legend(fontsize=6)
        right.axline((0, 0), slope=1, color="grey", linewidth=0.8)
        right.set_xlabel("change of a label as drawn, %")
        right.set_ylabel("change by the field, %")
