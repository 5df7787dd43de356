"""How well images that lie apart are registered: moved at random, then aligned.

python baselines/starts.py --data DATA --task segmentation --pairs 4 --motions 5

Each pair is registered as it comes, which is aligned, and again after its moving image was turned
about a random axis and shifted. The motion is written into the header (``header``), or the image
is resampled onto a larger grid that holds it (``resampled``), which blurs: then the start from the
known motion is the one to compare with.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

import tables
from dataset import read_tasks
from optreg import Grid, Image, register
from optreg.io import load_image
from optreg.metrics import dice, mean_over_labels
from optreg.transform import Affine

_ANGLE_DEGREES, _SHIFT_MM = 20.0, 30.0


class Scan(NamedTuple):
    """An image and its label map."""

    image: Image
    labels: Image

    def moved(self, motion: Affine, resampled: bool) -> Scan:
        """The scan carried along by a motion of the world."""
        image, labels = (
            Image(i.data, Grid(i.shape, motion.matrix @ i.grid.affine), i.name) for i in self
        )
        if not resampled:
            return Scan(image, labels)
        corners = np.array(np.meshgrid(*((0, n - 1) for n in image.shape))).reshape(3, -1).T
        world = image.grid.voxel_to_world(corners)
        low, high = world.min(axis=0), world.max(axis=0)
        affine = np.eye(4)
        affine[:3, 3] = low
        x, y, z = (int(n) for n in np.ceil(high - low) + 1)
        grid, still = Grid((x, y, z), affine), Affine(np.eye(4))
        return Scan(
            still.apply(image, grid, image.grid, "linear"),
            still.apply(labels, grid, labels.grid, "nearest"),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder in LUMIR layout")
    parser.add_argument("--task", default="segmentation")
    parser.add_argument("--pairs", type=int, default=4, help="the first so many (default: 4)")
    parser.add_argument("--motions", type=int, default=5, help="of each pair (default: 5)")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--init", default="affine", help="how to align (default: affine)")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = []
    for pair in read_tasks(args.data, [args.task])[args.task][: args.pairs]:
        fixed, moving = (
            Scan(load_image(path), load_image(args.data / "labelsVal" / path.name))
            for path in (pair.images.fixed, pair.images.moving)
        )
        aligned = _dice(fixed, moving, pair.labels, args.preset, None)
        for number in range(args.motions):
            motion, resampled = _motion(rng), bool(number % 2)
            away = moving.moved(motion, resampled)
            known = _dice(fixed, away, pair.labels, args.preset, motion) if resampled else aligned
            found = _dice(fixed, away, pair.labels, args.preset, args.init)
            stored = "resampled" if resampled else "header"
            numbers = (f"{d:.4f}" for d in (aligned, known, found))
            rows.append([pair.name, stored, *numbers, f"{found - known:+.4f}"])
            print(" ".join(rows[-1]), flush=True)
    header = ["pair", "motion", "aligned", "motion known", args.init, "difference"]
    print(tables.table([header, *rows]))


def _motion(rng: np.random.Generator) -> Affine:
    """Rotation and shift of random size, up to `_ANGLE_DEGREES` and `_SHIFT_MM`."""
    axis, direction = (v / np.linalg.norm(v) for v in rng.standard_normal((2, 3)))
    angle, shift_mm = rng.uniform(0.3, 1.0, 2) * (_ANGLE_DEGREES, _SHIFT_MM)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.deg2rad(angle) * axis).as_matrix()
    matrix[:3, 3] = shift_mm * direction
    return Affine(matrix)


def _dice(
    fixed: Scan,
    moving: Scan,
    labels: tuple[int, ...] | None,
    preset: str,
    start: Affine | str | None,
) -> float:
    result = register(fixed.image, moving.image, preset=preset, init=start)
    warped = result.transform.apply(moving.labels, "nearest").data
    before = moving.labels.data
    return mean_over_labels(dice(fixed.labels.data, warped, labels=labels, moving_labels=before))


if __name__ == "__main__":
    main()
