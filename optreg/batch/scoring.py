"""One case of a submission, judged by the challenge's metrics."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optreg.errors import InputError
from optreg.grid import Grid
from optreg.intensities import foreground
from optreg.io import load_image, read_landmarks
from optreg.io.datasets import IMAGE_ENDINGS, ImagePair, image_stem
from optreg.io.fields import read_voxels
from optreg.io.landmarks import match_landmarks
from optreg.metrics import evaluate, local_correlation, tre_labels, tre_points
from optreg.submission import field_file
from optreg.transform import DisplacementField

__all__ = ["Case", "check_beside", "score"]

_log = logging.getLogger("optreg")

_TABLE = (".csv",)


@dataclass(frozen=True)
class Case:
    """A pair, its field, and what there is to judge it by.

    Attributes
    ----------
    pair : ImagePair
    fields : Path
        Folder or zip that holds the field.
    labels, landmarks : Path, optional
        Folders with the label maps, and with label maps or tables of the landmarks, under the
        names of the images.
    label_list : tuple of int, optional
        Labels that count; without it, all that occur.
    mask : {"fixed", "moving"}
        Where folding is counted: the fixed image is above 0 (LUMIR 2025) or the moving one (2024).
    hd95 : bool
        Whether to compute surface distances, which take longest.
    similarity : bool
        Whether to compare the images themselves.
    """

    pair: ImagePair
    fields: Path
    labels: Path | None = None
    landmarks: Path | None = None
    label_list: tuple[int, ...] | None = None
    mask: str = "fixed"
    hd95: bool = True
    similarity: bool = False


def score(case: Case) -> dict[str, Any]:
    """Numbers of a case.

    Returns
    -------
    dict
        ``name``, ``group``, those of `optreg.metrics.METRICS` with input, ``per_label``
        (label -> Dice and HD95), ``vanished`` (landmarks that the field removed). A case that
        cannot be judged has ``error`` instead.
    """
    found: dict[str, Any] = {"name": case.pair.name, "group": case.pair.group}
    try:
        return found | _scored(case)
    except (InputError, MemoryError) as error:
        return found | {"error": " ".join(str(error).split()) or "out of memory"}


def _scored(case: Case) -> dict[str, Any]:
    fixed = load_image(case.pair.fixed, nan_to=0.0)
    with field_file(case.fields, case.pair.file_name) as path:
        disp = read_voxels(path, fixed.grid)
    masked = fixed if case.mask == "fixed" else load_image(case.pair.moving, nan_to=0.0)
    given: dict[str, Any] = {"fixed_mask": masked.data > 0, "spacing": tuple(fixed.grid.spacing)}
    maps = _beside(case.pair, case.labels, IMAGE_ENDINGS)
    if case.labels is None and case.pair.fixed_labels and case.pair.moving_labels:
        maps = [case.pair.fixed_labels, case.pair.moving_labels]
    if maps:
        # The challenge compares voxels, wherever the headers say that they are.
        given["fixed_labels"], given["moving_labels"] = (load_image(path) for path in maps)
        given |= {"labels": case.label_list, "hd95": case.hd95}
    result = evaluate(disp, **given)
    numbers: dict[str, Any] = {
        "ndv": result["folding"]["ndv_percent"],
        "folded_voxels": result["folding"]["folded_voxels"],
        "sdlogj": result["smoothness"]["sdlogj"],
        "sdlogj_evaluator": result["smoothness"]["sdlogj_evaluator"],
    }
    if "dice" in result:
        numbers["dice"] = result["dice"]["mean"]
        numbers["dice_without_background"] = result["dice"]["mean_without_background"]
        per_label = {k: [v] for k, v in result["dice"]["per_label"].items()}
        if "hd95" in result:
            numbers["hd95"] = result["hd95"]["mean_mm"]
            for label, value in result["hd95"]["per_label_mm"].items():
                per_label[label].append(value)
        numbers["per_label"] = per_label
    if case.similarity:
        moving = load_image(case.pair.moving, nan_to=0.0)
        transform = DisplacementField.between_voxels(disp, fixed.grid, moving.grid)
        warped = transform.apply(moving, "linear")
        numbers["similarity"] = local_correlation(fixed.data, warped.data, foreground(fixed.data))
    return numbers | _landmark_errors(case, disp, fixed.grid)


def _landmark_errors(case: Case, disp: np.ndarray, grid: Grid) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    spacing = tuple(grid.spacing)
    maps = _beside(case.pair, case.landmarks, IMAGE_ENDINGS)
    if maps:
        errors = tre_labels(disp, *(load_image(p).data for p in maps), spacing=spacing)
        numbers |= {"tre": errors.mean_mm, "vanished": list(errors.vanished)}
    tables = _beside(case.pair, case.landmarks, _TABLE)
    if tables:
        moving_grid = load_image(case.pair.moving, nan_to=0.0).grid
        fixed, moving = (
            read_landmarks(p, g) for p, g in zip(tables, (grid, moving_grid), strict=True)
        )
        rows, counterparts = match_landmarks(fixed, moving, tables[1])
        points = fixed.vox[rows], grid.world_to_voxel(moving.mm[counterparts])
        transform = DisplacementField.between_voxels(disp, grid, moving_grid)
        numbers["tre_points"] = tre_points(transform.disp, *points, spacing=spacing).mean_mm
    return numbers


def check_beside(pairs: Sequence[ImagePair], folder: Path, tables: bool = False) -> None:
    """Refuse a folder that has label maps (or, with `tables`, tables) of no pair.

    Raises
    ------
    InputError
        No folder, or it has them for no pair.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; name the one with a file for each image")
    kinds = (IMAGE_ENDINGS, _TABLE) if tables else (IMAGE_ENDINGS,)
    count = sum(any(_beside(pair, folder, endings) for endings in kinds) for pair in pairs)
    if not count:
        raise InputError(
            f"{folder}: has files for no pair; they are named as the images, and end in "
            f"{', '.join(ending for endings in kinds for ending in endings)}"
        )
    if count < len(pairs):
        _log.warning("%s: has files for %d of %d pairs only", folder, count, len(pairs))


def _beside(pair: ImagePair, folder: Path | None, endings: Sequence[str]) -> list[Path]:
    """Files of both images in a folder; empty unless both are there."""
    if folder is None:
        return []
    found = []
    for image in (pair.fixed, pair.moving):
        names = (folder / f"{image_stem(image)}{ending}" for ending in endings)
        found += [path for path in names if path.is_file()][:1]
    return found if len(found) == 2 else []
