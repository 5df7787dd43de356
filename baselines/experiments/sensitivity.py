"""How much Dice a registration loses when an image comes worse prepared.

The reference is the same pair as it comes, registered by the same method. The found field is
carried back to the world of the scans as they came and judged there, on the same voxels as the
reference: what a smaller field of view or a hole removes does not count against anybody.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

import tables
from dataset import Pair, read_task
from experiments import perturbations as p
from experiments import report
from experiments.runs import Runs, chosen, finished, overlap, read_scans, regularity
from methods import Method
from optreg import Grid, Image
from optreg.transform import Affine, DisplacementField
from starts import Scan

_MARGIN_MM = 10.0
"""Between what is lost and what is judged: there, nothing can be known."""
_TASK = "segmentation"


class Case(NamedTuple):
    """A pair that was changed.

    Attributes
    ----------
    fixed, moving : Image
    motion : Affine, optional
        What happened to the world of the moving image.
    seen : callable, optional
        Which of the points (N, 3), in RAS mm of the fixed image as it came, can be judged.
    init : str or None
        Start, as in `optreg.register`.
    """

    fixed: Image
    moving: Image
    motion: Affine | None = None
    seen: Callable[[np.ndarray], np.ndarray] | None = None
    init: str | None = "auto"


Change = Callable[[Image, Image], Case]


def _intensities(change: Callable[..., Image], *values: float) -> Change:
    return lambda fixed, moving: Case(fixed, change(moving, *values))


def _cut(which: str, depth_mm: float, from_below: bool) -> Change:
    def change(fixed: Image, moving: Image) -> Case:
        images = {"fixed": fixed, "moving": moving}
        images[which], height = p.cut(images[which], depth_mm, from_below)
        sign = 1 if from_below else -1
        return Case(**images, seen=lambda world: sign * (world[:, 2] - height) > _MARGIN_MM)

    return change


def _hole(radius_mm: float) -> Change:
    def change(fixed: Image, moving: Image) -> Case:
        moving, centre = p.with_hole(moving, radius_mm)
        far = radius_mm + _MARGIN_MM
        return Case(fixed, moving, seen=lambda world: np.linalg.norm(world - centre, axis=1) > far)

    return change


def _stored(fixed_axes: str | None, moving_axes: str | None) -> Change:
    def change(fixed: Image, moving: Image) -> Case:
        return Case(
            p.stored_as(fixed, fixed_axes) if fixed_axes else fixed,
            p.stored_as(moving, moving_axes) if moving_axes else moving,
        )

    return change


def _away(degrees: float, shift_mm: float, init: str | None = "auto") -> Change:
    def change(fixed: Image, moving: Image) -> Case:
        motion = p.motion(moving, degrees, shift_mm)
        return Case(fixed, p.moved(moving, motion), motion, init=init)

    return change


CHANGES: dict[str, Change] = {
    "intensity times 1000": _intensities(p.scaled, 1000.0),
    "gamma 0.7": _intensities(p.with_gamma, 0.7),
    "gamma 1.5": _intensities(p.with_gamma, 1.5),
    "offset 30 %": _intensities(p.with_offset, 0.3),
    "bias field 40 %": _intensities(p.with_bias, 0.4),
    "bias field 80 %": _intensities(p.with_bias, 0.8),
    "noise 3 %": _intensities(p.with_noise, 0.03),
    "noise 9 %": _intensities(p.with_noise, 0.09),
    "slices of 4 mm": _intensities(p.with_thick_slices, 4.0),
    "mask eroded by 2 mm": _intensities(p.eroded, 2.0),
    "mask eroded by 4 mm": _intensities(p.eroded, 4.0),
    "mask with a rim of 4 mm": _intensities(p.with_rim, 4.0),
    "mask with a hole of 20 mm": _hole(20.0),
    "moving cut 40 mm from below": _cut("moving", 40.0, True),
    "moving cut 40 mm from above": _cut("moving", 40.0, False),
    "fixed cut 40 mm from below": _cut("fixed", 40.0, True),
    "moving stored as LPS": _stored(None, "LPS"),
    "moving stored as AIR": _stored(None, "AIR"),
    "fixed stored as LPS": _stored("LPS", None),
    "both stored as PSL": _stored("PSL", "PSL"),
    "rotated by 5 degrees": _away(5.0, 0.0),
    "rotated by 10 degrees": _away(10.0, 0.0),
    "rotated by 20 degrees": _away(20.0, 0.0),
    "shifted by 5 mm": _away(0.0, 5.0),
    "shifted by 10 mm": _away(0.0, 10.0),
    "shifted by 20 mm": _away(0.0, 20.0),
    "origin lost": lambda fixed, moving: Case(fixed, *p.without_origin(moving)),
    "as it comes + affine": _away(0.0, 0.0, "affine"),
    "rotated by 10 degrees (not aligned)": _away(10.0, 0.0, None),
    "rotated by 20 degrees (not aligned)": _away(20.0, 0.0, None),
    "shifted by 10 mm (not aligned)": _away(0.0, 10.0, None),
    "shifted by 20 mm (not aligned)": _away(0.0, 20.0, None),
}


class _Subject:
    """A pair with its unperturbed registration, which is made when it is first needed."""

    def __init__(self, pair: Pair, runs: Runs, method: Method, voxel_mm: float | None):
        self._pair, self._runs, self._method, self._voxel_mm = pair, runs, method, voxel_mm

    @cached_property
    def scans(self) -> tuple[Scan, Scan]:
        """Images at the resolution that is asked for, label maps as they are."""
        fixed, moving = read_scans(self._pair)
        if self._voxel_mm is None:
            return fixed, moving
        return tuple(  # type: ignore[return-value]
            Scan(p.at_resolution(s.image, self._voxel_mm), s.labels) for s in (fixed, moving)
        )

    @cached_property
    def reference(self) -> DisplacementField:
        fixed, moving = (scan.image for scan in self.scans)
        return self._runs.register(self._method, fixed, moving).field

    @cached_property
    def reference_dice(self) -> float:
        return overlap(self.reference, *self.scans, self._pair.labels)

    def numbers(self, change: Change) -> dict[str, Any]:
        """Dice with and without the change, and how far apart the two fields are."""
        fixed, moving = self.scans
        case = change(fixed.image, moving.image)
        found = self._runs.register(self._method, case.fixed, case.moving, case.init)
        field = found.field if case.motion is None else case.motion.invert().after(found.field)
        grid = fixed.image.grid
        field = field.resample_to(grid)
        judged = _seen(case, fixed.labels.grid)
        dice = overlap(field, fixed, moving, self._pair.labels, judged)
        before = (
            self.reference_dice
            if judged is None
            else overlap(self.reference, fixed, moving, self._pair.labels, judged)
        )
        inside = fixed.image.data > 0
        seen = _seen(case, grid)
        inside = inside if seen is None else inside & seen
        apart = np.linalg.norm((field.to_mm() - self.reference.to_mm())[:, inside], axis=0)
        return {
            "dice": dice,
            "reference_dice": before,
            "loss": before - dice,
            "apart_mean_mm": float(apart.mean()),
            "apart_max_mm": float(apart.max()),
            **regularity(found.field, case.fixed),
            **found.notes,
        }


def _seen(case: Case, grid: Grid) -> np.ndarray | None:
    if case.seen is None:
        return None
    voxels = np.moveaxis(np.indices(grid.shape), 0, -1).reshape(-1, 3)
    return case.seen(grid.voxel_to_world(voxels)).reshape(grid.shape)


def run(args: argparse.Namespace, runs: Runs, wanted: list[Method]) -> None:
    """Every change, method and pair; ``sensitivity.md``, ``.json``, ``.png``."""
    pairs = read_task(args.data, _TASK)[: args.pairs]
    only = chosen(args.only, CHANGES)
    name = "sensitivity" if args.voxel_mm is None else f"sensitivity_{args.voxel_mm:g}mm"
    records: dict[str, dict[str, dict[str, dict]]] = {m.name: {} for m in wanted}
    for method in wanted:
        for pair in pairs:
            subject = _Subject(pair, runs, method, args.voxel_mm)
            for change in only:
                where = f"{name}/{method.name}/{pair.name}/{change}"
                numbers = runs.kept(
                    where, method.settings, lambda s=subject, c=change: s.numbers(CHANGES[c])
                )
                records[method.name].setdefault(change, {})[pair.name] = numbers
    text = [f"{method}\n\n{_table(found)}" for method, found in records.items()]
    if len(records) > 1:
        text.append(_side_by_side(records, only))
    report.write(args.output, name, "\n".join(text), records)
    _draw(args.output / f"{name}.png", records, only)


def _losses(found: dict[str, dict]) -> list[float]:
    return [numbers["loss"] for numbers in finished(found).values()]


def _table(records: dict[str, dict[str, dict]]) -> str:
    rows = [["change", "Dice lost", "most", *report.DIFFERENCE, "fields apart, mm", "folded"]]
    most = 0
    for change, found in records.items():
        done = list(finished(found).values())
        if len(done) < len(found):
            rows.append([change, f"{len(found) - len(done)} of {len(found)} failed", *[""] * 5])
            continue
        lost, p_value, effect = report.difference(
            [n["reference_dice"] for n in done], [n["dice"] for n in done], len(records)
        )
        apart = np.mean([n["apart_mean_mm"] for n in done])
        folded = max(n["folded_voxels"] for n in done)
        worst = f"{max(_losses(found)):+.4f}"
        rows.append([change, lost, worst, p_value, effect, f"{apart:.3f}", f"{folded:.0f}"])
        most = max(most, len(done))
    return tables.table(rows) + report.caveat(most, len(records))


def _side_by_side(records: dict[str, dict[str, dict[str, dict]]], changes: list[str]) -> str:
    """Mean loss of every method on the pairs that all of them have, and the Dice that is left."""
    rows = [["Dice lost (left)", *records]]
    for change in changes:
        done = {method: finished(found[change]) for method, found in records.items()}
        common = set.intersection(*(set(own) for own in done.values()))
        means = [
            [np.mean([own[pair][key] for pair in common]) for key in ("loss", "dice")]
            if common
            else []
            for own in done.values()
        ]
        rows.append([change, *("{:+.4f} ({:.4f})".format(*m) if m else "" for m in means)])
    return tables.table(rows)


def _draw(path: Any, records: dict[str, dict[str, dict[str, dict]]], changes: list[str]) -> None:
    height = 1.2 + 0.19 * len(changes) * max(1, 0.6 * len(records))
    with report.Drawing(path, size=(6.5, height)) as axes:
        width = 0.8 / len(records)
        for number, (method, found) in enumerate(records.items()):
            losses = [_losses(found[change]) for change in changes]
            y = np.arange(len(changes)) + (number - (len(records) - 1) / 2) * width
            means = [np.mean(v) if v else 0.0 for v in losses]
            axes.barh(y, means, width, label=method, color=f"C{number}", alpha=0.7)
            for place, values in zip(y, losses, strict=True):
                axes.plot(values, [place] * len(values), "k.", markersize=3)
        axes.set_yticks(range(len(changes)), changes, fontsize=7)
        axes.invert_yaxis()
        axes.set_xscale("symlog", linthresh=0.01)
        axes.set_xlabel("Dice lost (linear below 0.01); dots: pairs")
        if len(records) > 1:
            axes.legend(fontsize=7)
