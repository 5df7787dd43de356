"""The words and numbers of a report: verdict, headline figures, tables."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from html import escape
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from optreg import __version__
from optreg.image import Image

if TYPE_CHECKING:
    from optreg.result import Registration
    from optreg.transform.affine import AffineParts

__all__ = ["Metrics", "label_table", "setup_tables", "table", "tables", "tiles"]

Metrics = Mapping[str, Mapping[str, Any]]
"""What `optreg.evaluate` returns: groups of named numbers."""

# How the keys of quality and metrics read: (words, decimals, unit).
_WORDS = {
    "ndv_percent": ("non-diffeomorphic volume", 4, "%"),
    "negative_volume_vox": ("folded volume", 3, "voxels"),
    "folded_voxels": ("folded voxels", 0, ""),
    "inverse_folded_voxels": ("folded voxels of the inverse", 0, ""),
    "folded_tetrahedra": ("folded tetrahedra", 0, ""),
    "folded_central_voxels": ("folded voxels, central differences", 0, ""),
    "mask_voxels": ("voxels judged", 0, ""),
    "repaired_voxels": ("voxels repaired", 0, ""),
    "sdlogj": ("SD of log Jacobian", 3, ""),
    "sdlogj_evaluator": ("the same, challenge formula", 3, ""),
    "inverse_consistency_mean_vox": ("inverse consistency, mean", 3, "voxels"),
    "inverse_consistency_p99_vox": ("inverse consistency, 99 %", 3, "voxels"),
    "mean_vox": ("mean", 3, "voxels"),
    "p99_vox": ("99th percentile", 3, "voxels"),
    "outside_voxels": ("voxels sent out of the grid", 0, ""),
    "similarity_before": ("similarity, first iteration", 4, ""),
    "similarity_after": ("similarity, last iteration", 4, ""),
    "mean": ("mean", 4, ""),
    "mean_without_background": ("mean without background", 4, ""),
    "mean_mm": ("mean", 3, "mm"),
    "p95_mm": ("95th percentile", 3, "mm"),
    "max_mm": ("largest", 3, "mm"),
    "mean_without_background_mm": ("mean without background", 3, "mm"),
}
_GROUPS = {
    "dice": "Dice",
    "hd95": "Hausdorff distance, 95 %",
    "tre": "Landmark error",
    "true_error": "Distance to the true deformation",
    "folding": "Folding",
    "smoothness": "Smoothness",
    "inverse_consistency": "Inverse consistency",
}
# Groups in which the start is worth showing; no field folds before there is one.
_CHANGING = ("dice", "hd95", "tre", "true_error")
# No optional library is imported to ask for its version: metadata answers for all of them.
_LIBRARIES = ("numpy", "scipy", "numba", "nibabel", "SimpleITK", "matplotlib")


def versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that are installed."""
    found = {"optreg": __version__, "Python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def number(value: Any, decimals: int = 3) -> str:
    """A number for a person: fixed decimals, a thin space at thousands, a dash for none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "\u2013"
    if isinstance(value, (bool, str)):
        return str(value)
    if isinstance(value, float) and math.isinf(value):
        return "\u221e"
    if 0 < abs(value) < 0.5 * 10.0**-decimals:
        return f"{value:.1e}".replace("-", "\u2212")
    text = f"{value:,.{decimals}f}".replace(",", "\u202f")
    return "0" if float(value) == 0 else text.replace("-", "\u2212")


def tiles(
    result: Registration,
    difference: tuple[float, float],
    metrics: Metrics | None = None,
    before: Metrics | None = None,
) -> str:
    """Headline figures, as many as there are numbers for."""
    quality = result.quality
    rows: list[tuple[str, str]] = []

    def change(name: str, group: str, key: str, decimals: int, unit: str = "") -> None:
        now, then = _in(metrics, group, key), _in(before, group, key)
        if now is not None:
            start = f"<s>{number(then, decimals)} \u2192</s> " if then is not None else ""
            rows.append((name, f"{start}{number(now, decimals)}{_unit(unit)}"))

    change("Dice", "dice", "mean_without_background", 3)
    change("HD95", "hd95", "mean_without_background_mm", 2, "mm")
    change("landmark error", "tre", "mean_mm", 2, "mm")
    change("true error", "true_error", "mean_mm", 2, "mm")
    start, end = (number(100 * share, 1) for share in difference)
    rows.append(("mean difference of intensities", f"<s>{start} \u2192</s> {end}{_unit('%')}"))
    ndv = _first(_in(metrics, "folding", "ndv_percent"), quality.get("ndv_percent"))
    rows.append(("non-diffeomorphic volume", number(ndv, 4) + _unit("%")))
    rows.append(
        (
            "SD of log Jacobian",
            number(_first(_in(metrics, "smoothness", "sdlogj"), quality.get("sdlogj")), 3),
        )
    )
    if "inverse_consistency_mean_vox" in quality:
        rows.append(
            (
                "inverse consistency",
                number(quality["inverse_consistency_mean_vox"], 3) + _unit("voxels"),
            )
        )
    rows.append(("largest displacement", number(_largest_mm(result), 1) + _unit("mm")))
    if "total" in result.timings:
        rows.append(("total time", number(result.timings["total"], 1) + _unit("s")))
    # Rows without an orphan: one up to six, else two.
    columns = len(rows) if len(rows) <= 6 else -(-len(rows) // 2)
    return "\n".join(
        [
            f'<dl class="tiles" style="--columns:{columns}">',
            *(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in rows),
            "</dl>",
        ]
    )


def tables(result: Registration, metrics: Metrics | None, before: Metrics | None) -> str:
    """Everything measured: the result's own quality, then each group of the metrics."""
    rows = [("similarity", escape(result.similarity))]
    out = [table("Quality", rows + [_row(key, value) for key, value in result.quality.items()])]
    for group, values in (metrics or {}).items():
        rows = []
        for key, value in values.items():
            words, text = _row(key, value)
            then = _in(before, group, key) if group in _CHANGING else None
            if isinstance(then, (int, float)):
                text = f"{_row(key, then)[1]} \u2192 {text}"
            if text:
                rows.append((words, text))
        out.append(table(_GROUPS.get(group, group.replace("_", " ")), rows))
    return "\n".join(out)


def label_table(metrics: Metrics | None, before: Metrics | None) -> str:
    """Collapsible table of Dice (and HD95) of each label, lowest Dice first."""
    dice = _in(metrics, "dice", "per_label")
    if not dice:
        return ""
    then = _in(before, "dice", "per_label") or {}
    distances = _in(metrics, "hd95", "per_label_mm") or {}
    known = sorted(
        (label for label, value in dice.items() if np.isfinite(value)), key=lambda k: dice[k]
    )
    rows = []
    for label in known:
        start = f"{number(float(then[label]))} \u2192 " if label in then else ""
        rows.append(
            f"<tr><th scope='row'>{escape(str(label))}</th>"
            f"<td>{start}{number(float(dice[label]))}</td>"
            f"<td><i style='width:{100 * float(dice[label]):.1f}%'></i></td>"
            f"<td>{number(distances.get(label), 2)}</td></tr>"
        )
    missing = len(dice) - len(known)
    note = f", {missing} more not in both images" if missing else ""
    return (
        f"<details><summary>Each of {len(known)} labels{note}</summary><div class='scrolls' "
        "tabindex='0'><table class='labels'><thead><tr><th scope='col'>label</th>"
        "<th scope='col'>Dice</th><th scope='col'></th><th scope='col'>HD95, mm</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def setup_tables(result: Registration) -> str:
    """Geometry of both images, how they were aligned, and the versions."""
    out = [_image_table("Fixed image", result.fixed), _image_table("Moving image", result.moving)]
    if result.affine is not None:
        out.append(_affine_table(result.affine.parts(result.fixed.grid.center_mm)))
    out.append(table("Versions", [(name, escape(text)) for name, text in versions().items()]))
    return "\n".join(out)


def table(caption: str, rows: Sequence[tuple[str, str]]) -> str:
    """Two-column table; names are escaped here, values are HTML."""
    body = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{value}</td></tr>" for name, value in rows
    )
    return f"<table><caption>{escape(caption)}</caption><tbody>{body}</tbody></table>"


def _image_table(caption: str, image: Image) -> str:
    grid = image.grid
    low, high = float(np.min(image.data)), float(np.max(image.data))
    return table(
        caption,
        [
            ("name", escape(image.name or "\u2013")),
            ("voxels", " \u00d7 ".join(str(n) for n in grid.shape)),
            ("spacing", " \u00d7 ".join(f"{s:.4g}" for s in grid.spacing) + " mm"),
            ("axes", escape(grid.orientation)),
            ("data type", escape(str(image.data.dtype))),
            ("range", f"{low:.5g} to {high:.5g}"),
        ],
    )


def _affine_table(parts: AffineParts) -> str:
    def three(values: Sequence[float], decimals: int) -> str:
        return " ".join(number(value, decimals) for value in values)

    return table(
        "Linear alignment",
        [
            ("rotation about x y z", three(parts.rotation_deg, 2) + "\u00b0"),
            ("scale x y z", three(parts.scale, 4)),
            ("shear xy xz yz", three(parts.shear, 4)),
            ("translation of the center", three(parts.translation_mm, 2) + " mm"),
            ("change of volume", number(parts.volume, 4)),
        ],
    )


def _row(key: str, value: Any) -> tuple[str, str]:
    """Words and HTML of one number; an empty text for what belongs in another table."""
    words, decimals, unit = _WORDS.get(key, (key.replace("_", " "), 3, ""))
    if isinstance(value, Mapping):
        return words, ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return words, str(len(value))
    if isinstance(value, np.generic):
        value = value.item()
    decimals = 0 if isinstance(value, int) else decimals
    text = escape(number(value, decimals))
    return words, f"{text} {unit}".rstrip()


def _largest_mm(result: Registration) -> float:
    spacing = result.fixed.grid.spacing.astype(np.float32).reshape(3, 1, 1, 1)
    return float(np.sqrt(((np.asarray(result.disp) * spacing) ** 2).sum(axis=0).max()))


def _unit(unit: str) -> str:
    return f" <small>{unit}</small>" if unit else ""


def _in(metrics: Metrics | None, group: str, key: str) -> Any:
    return (metrics or {}).get(group, {}).get(key)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
