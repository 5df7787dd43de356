"""The pairs in which two methods differ most, to be looked at."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optreg import plot
from optreg.compare import Comparison, Method
from optreg.errors import OptregError
from optreg.image import Image
from optreg.io import load_image, read_field
from optreg.report.comparison_figures import as_image, new_figure, plain
from optreg.submission import field_file
from optreg.transform import DisplacementField
from optreg.views import Plane, Views, collect

__all__ = ["pictures"]

_log = logging.getLogger("optreg")
_TILE_INCH = 1.9
_LEAST_FILLED = 0.5
"""Foreground that a slice must have to be shown, as a part of that of the fullest one."""


@dataclass(frozen=True, eq=False)
class _Registered:
    """What `collect` asks of a registration, for a field of any method."""

    fixed: Image
    moving: Image
    disp: NDArray[np.float32]

    @cached_property
    def transform(self) -> DisplacementField:
        return DisplacementField(self.disp, self.fixed.grid, self.moving.grid)

    @cached_property
    def warped(self) -> NDArray[Any]:
        return self.transform.apply(self.moving, "linear").data


def pictures(comparison: Comparison, rival: str, pairs: list[str]) -> str:
    """Fixed image, both results and what is left of the differences: a row for each pair.

    Empty where the files that were judged are not there any more.
    """
    first = comparison.methods[0]
    second = next(m for m in comparison.methods if m.name == rival)
    rows = []
    for pair in pairs:
        try:
            rows.append((pair, _views(first, pair), _views(second, pair)))
        except (OptregError, KeyError, TypeError) as error:
            _log.info("no picture of %s: %s", pair, error)
    if not rows:
        return ""
    gains = {p: first.cases[p]["dice"] - second.cases[p]["dice"] for p in pairs}
    plane = rows[0][1].planes[0]
    figure, axes = new_figure(_TILE_INCH * 5, _TILE_INCH * 1.3 * len(rows), (len(rows), 5))
    for row, (pair, ours, theirs) in zip(np.atleast_2d(axes), rows, strict=True):
        index = _most_different(ours, theirs, plane)
        plot.draw_tile(row[0], ours, plane, index, "fixed")
        row[0].set_ylabel(
            f"{plain(pair.removeprefix('disp_'))}\nDice {gains[pair]:+.4f}", fontsize=8
        )
        row[0].set_title("fixed", fontsize=8)
        both = ((ours, plain(first.name)), (theirs, plain(rival)))
        shown = [(kind, *one) for kind in ("warped", "after") for one in both]
        for tile, (kind, views, name) in zip(row[1:], shown, strict=True):
            plot.draw_tile(tile, views, plane, index, kind)
            tile.set_title(name if kind == "warped" else f"|fixed - {name}|", fontsize=8)
        for tile in row:
            tile.set_xticks([])
            tile.set_yticks([])
            tile.set_facecolor("black")
    words = "Pairs in which the methods differ most, with outlines of the fixed image"
    return as_image(figure, words)


def _views(method: Method, pair: str) -> Views:
    if method.sources is None:
        raise KeyError(f"{method.name} does not say where its fields are")
    images = method.sources["pairs"][pair]
    fixed, moving = (load_image(images[role], nan_to=0.0) for role in ("fixed", "moving"))
    with field_file(Path(method.sources["fields"]), f"{pair}.nii.gz") as path:
        field = read_field(path, fixed.grid, moving.grid, format="l2r")
    return collect(_Registered(fixed, moving, field.disp))  # type: ignore[arg-type]


def _most_different(ours: Views, theirs: Views, plane: Plane) -> int:
    """Slice in which the two results differ most; the middle where they are the same.

    Slices that show little of the fixed image are left out, and what lies outside of it.
    """
    others = tuple(a for a in range(3) if a != plane.axis)
    difference = (np.abs(ours.after - theirs.after) * ours.inside).sum(axis=others)
    filled = ours.inside.sum(axis=others)
    difference[filled < _LEAST_FILLED * filled.max()] = 0
    return int(difference.argmax()) if difference.any() else ours.fullest(plane)
