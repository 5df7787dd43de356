"""How long one case of the challenge takes to judge, and by the evaluator's way of doing it.

python baselines/evaluation.py --data DATA

The reference goes label by label, as public evaluators do: masks of the whole volume, a distance
transform of either surface, the robust Hausdorff distance of Nikolov et al. (2018,
arXiv 1809.04430); with ``--crop``, distances are computed in the box around each label only.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from optreg import register
from optreg.batch.scoring import Case, score
from optreg.io import load_image, read_field, write_field
from optreg.io.datasets import read_dataset
from optreg.metrics import surface_areas

_CODE = 1 << np.arange(8).reshape(2, 2, 2)
_PERCENT = 95.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder in LUMIR layout")
    parser.add_argument("--crop", action="store_true", help="the reference, in boxes of the labels")
    parser.add_argument("--every", type=int, default=1, help="reference on every n-th label only")
    args = parser.parse_args()
    dataset = read_dataset(args.data / "evaluation_segmentation.json")
    pair, labels = dataset.pairs[0], dataset.labels or ()
    with tempfile.TemporaryDirectory() as folder:
        disp = register(pair.fixed, pair.moving, preset="fast").disp
        write_field(Path(folder) / pair.file_name, disp, None)
        case = Case(pair, Path(folder), args.data / "labelsVal", None, labels)
        score(case)  # compiles
        seconds, found = _timed(lambda: score(case))
        reading, files = _timed(lambda: _read(case))
    chosen = labels[:: args.every]
    warping, maps = _timed(lambda: _warped(*files))
    slow, wanted = _timed(lambda: _label_by_label(*maps, chosen, args.crop))
    slow = warping + slow * len(labels) / len(chosen)
    ours = [found["per_label"][label] for label in chosen]
    largest = max(
        abs(a - b)
        for pair_a, pair_b in zip(ours, wanted, strict=True)
        for a, b in zip(pair_a, pair_b, strict=True)
        if np.isfinite([a, b]).all()
    )
    print(f"{pair.name}: {len(labels)} labels, Dice, HD95, folding, roughness")
    print(f"reading the files          {reading:8.2f} s")
    print(f"optreg, reading included   {seconds:8.2f} s")
    print(f"label by label, Dice, HD95 {slow:8.2f} s, {slow / seconds:.0f} times as long")
    print(f"largest difference         {largest:8.1e}")


def _timed(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def _read(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All files of a case: both label maps and the displacement."""
    field = read_field(case.fields / case.pair.file_name).disp
    assert case.labels is not None
    pair = case.pair.fixed, case.pair.moving
    fixed, moving = (load_image(case.labels / image.name).data for image in pair)
    load_image(case.pair.fixed)
    return fixed, moving, field


def _warped(
    fixed: np.ndarray, moving: np.ndarray, disp: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    where = np.indices(fixed.shape) + disp
    return fixed, ndimage.map_coordinates(moving, where, order=0)


def _label_by_label(
    fixed: np.ndarray, warped: np.ndarray, labels: tuple[int, ...], crop: bool
) -> list[tuple[float, float]]:
    """Dice and HD95 of each label."""
    found = []
    for label in labels:
        a, b = fixed == label, warped == label
        if not a.any() or not b.any():
            found.append((np.nan, np.nan))
            continue
        dice = 2 * (a & b).sum() / (a.sum() + b.sum())
        if crop:
            (box,) = ndimage.find_objects((a | b).astype(np.uint8))
            a, b = a[box], b[box]
        found.append((float(dice), _hd95(a, b)))
    return found


def _hd95(a: np.ndarray, b: np.ndarray) -> float:
    areas = surface_areas()
    codes = [_codes(np.pad(mask, 1)) for mask in (a, b)]
    surfaces = [(code != 0) & (code != 255) for code in codes]
    away = [ndimage.distance_transform_edt(~surface) for surface in surfaces]
    robust = []
    for here, there in ((0, 1), (1, 0)):
        distance, weight = away[there][surfaces[here]], areas[codes[here][surfaces[here]]]
        order = np.argsort(distance)
        share = np.cumsum(weight[order]) / weight.sum()
        at = min(np.searchsorted(share, _PERCENT / 100), len(order) - 1)
        robust.append(distance[order][at])
    return float(max(robust))


def _codes(mask: np.ndarray) -> np.ndarray:
    """Which of its 2 x 2 x 2 corners are inside, as a number, for each cell between voxels."""
    n = tuple(size - 1 for size in mask.shape)
    code = np.zeros(n, np.uint8)
    for x, y, z in np.ndindex(2, 2, 2):
        part = mask[x : x + n[0], y : y + n[1], z : z + n[2]]
        code |= part.astype(np.uint8) * np.uint8(_CODE[x, y, z])
    return code


if __name__ == "__main__":
    main()
