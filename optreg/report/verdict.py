"""What to think of a registration whose truth nobody knows: a level, a sentence, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from optreg.grid import Grid
from optreg.intensities import foreground
from optreg.metrics import local_correlation
from optreg.transform import DisplacementField
from optreg.transform.sampling import thickened

if TYPE_CHECKING:
    from optreg.result import Registration

__all__ = ["Plausibility", "Verdict", "judge_result", "plausibility_of"]

# Beyond these a result deserves a second look: an inverse that misses by a voxel is none, and a
# standard deviation of log J above one means typical volume changes by a factor of e.
_WORST_INVERSE_VOX = 1.0
_ROUGHEST = 1.0

# Measured with the presets "fast" and "default" on 54 pairs that belong together (heads of one and
# of two contrasts, with and without noise, a rescan, mice, fetuses, hippocampi, primates, slices)
# and 32 that do not (turned front to back, upside down, by 90 degrees, halves exchanged, noise,
# another organ). Similarity per roughness was 1.25 and more for the first; for the second 1.02 and
# less, or 1.07 with a roughness of .66, where the first have .52 and less. Similarity was .31 and
# more, and .16 to .70; overlap of the foregrounds .87 and more, and .91 and more: what does not
# belong together is made to overlap as well as what does.
_LEAST_SIMILARITY_PER_ROUGHNESS = 1.13
_ROUGHEST_PLAUSIBLE = 0.6
_LEAST_SIMILARITY = 0.2
_LEAST_OVERLAP = 0.8

_STEPS = 63
"""Voxels across the foreground at which similarity and roughness are compared with those numbers:
finer ones add noise to the first and detail to the second."""
_WINDOW = 5

_GOOD = "The images match better, the deformation is smooth and invertible: no voxel folds."
_LOOK = "Worth a second look: "


@dataclass(frozen=True)
class Plausibility:
    """Numbers of a result that tell what belongs together from what does not.

    Attributes
    ----------
    similarity : float
        Mean squared local correlation of the fixed and the warped image, see `local_correlation`.
    roughness : float
        Standard deviation of the logarithm of the Jacobian determinant.
    overlap : float
        Dice of the foregrounds.
    """

    similarity: float
    roughness: float
    overlap: float

    @property
    def badness(self) -> float:
        """Deformation per similarity: how much had to be bent for how little."""
        return self.roughness / max(self.similarity, 1e-3)

    @property
    def concerns(self) -> list[str]:
        """What is implausible, in words."""
        found = []
        if (
            self.badness * _LEAST_SIMILARITY_PER_ROUGHNESS > 1
            or self.roughness > _ROUGHEST_PLAUSIBLE
            or self.similarity < _LEAST_SIMILARITY
        ):
            found.append(
                "the images hardly look alike for how much was deformed; check that they belong "
                "together and that the headers say how they lie, or try --init affine"
            )
        if self.overlap < _LEAST_OVERLAP:
            found.append("the foregrounds do not cover each other")
        return found


@dataclass(frozen=True)
class Verdict:
    """What to think of a registration.

    Attributes
    ----------
    level : {"good", "attention", "problem"}
    headline : str
        One sentence.
    reasons : tuple of str
        What is wrong, a sentence each.
    plausibility : Plausibility, optional
    """

    level: Literal["good", "attention", "problem"]
    headline: str
    reasons: tuple[str, ...] = ()
    plausibility: Plausibility | None = field(default=None)

    @property
    def numbers(self) -> dict[str, Any]:
        """The same for JSON; ``badness`` orders the results of one study, larger is worse."""
        found: dict[str, Any] = {
            "level": self.level,
            "headline": self.headline,
            "reasons": list(self.reasons),
        }
        if self.plausibility is not None:
            found |= vars(self.plausibility) | {"badness": self.plausibility.badness}
        return found


def judge_result(
    result: Registration,
    difference: tuple[float, float] | None = None,
    metrics: Mapping[str, Mapping[str, Any]] | None = None,
    before: Mapping[str, Mapping[str, Any]] | None = None,
) -> Verdict:
    """Judge a registration by what is known of it without a truth.

    Parameters
    ----------
    result : Registration
    difference : two floats, optional
        `Views.mean_difference`: without registration and with it.
    metrics, before : dict of dict, optional
        What `optreg.evaluate` says of it, and of no registration at all.
    """
    if result.status.name == "DIVERGED" or not np.isfinite(result.disp).all():
        return Verdict("problem", "The optimization diverged.", (str(result.status.value),))
    quality, found = result.quality, plausibility_of(result)
    concerns = found.concerns
    folding = (metrics or {}).get("folding", {})
    folds = quality.get("folded_voxels", folding.get("folded_voxels", 0))
    folds += quality.get("inverse_folded_voxels", 0)
    if folds:
        concerns.append(f"{folds:.0f} voxels fold")
    inverse = quality.get("inverse_consistency_p99_vox", 0.0)
    if inverse > _WORST_INVERSE_VOX:
        concerns.append(f"the inverse misses by {inverse:.1f} voxels at the 99th percentile")
    if quality.get("sdlogj", 0.0) > _ROUGHEST:
        concerns.append("the deformation is rough")
    if difference is not None and difference[1] > difference[0]:
        concerns.append("the images match no better than before")
    start, end = (
        (m or {}).get("dice", {}).get("mean_without_background") for m in (before, metrics)
    )
    if start is not None and end is not None and end < start:
        concerns.append("the labels overlap less than before")
    if not concerns:
        return Verdict("good", _GOOD, (), found)
    others = tuple(f"{text[0].upper()}{text[1:]}." for text in concerns[1:])
    return Verdict("attention", f"{_LOOK}{concerns[0]}.", others, found)


def plausibility_of(result: Registration) -> Plausibility:
    """Measure how alike images are after how much deformation, at one scale for all objects."""
    fixed, warped = np.asarray(result.fixed.data, np.float32), np.asarray(result.warped)
    here, there = foreground(fixed), foreground(warped)
    both = float(here.sum() + there.sum())
    overlap = 2 * float((here & there).sum()) / both if both else 0.0
    if not here.any():
        return Plausibility(0.0, 0.0, overlap)
    box = tuple(ndimage.find_objects(here.astype(np.uint8))[0])
    factors = _factors(result.fixed.grid, here)
    image, other = (_coarse(volume[box], factors) for volume in (fixed, warped))
    inside = _coarse(here[box].astype(np.float32), factors) > 0.5
    disp = _coarse(result.disp[(slice(None), *box)], factors)
    disp = disp / np.array(factors, np.float32).reshape(3, 1, 1, 1)
    # A slice is looked at as the middle of a stack of such.
    image, other, inside, disp = (thickened(v, _WINDOW) for v in (image, other, inside, disp))
    if not inside.any():
        return Plausibility(0.0, 0.0, overlap)
    similarity = local_correlation(image, other, inside, _WINDOW)
    x, y, z = image.shape
    determinant = DisplacementField(disp, Grid.identity((x, y, z))).jacobian()[inside]
    return Plausibility(similarity, float(np.log(np.maximum(determinant, 1e-9)).std()), overlap)


def _factors(grid: Grid, inside: NDArray[np.bool_]) -> list[int]:
    """Voxels along each axis that are taken together, so that `_STEPS` go across the object."""
    seen = [n > 1 for n in grid.shape]
    spacing = np.where(seen, grid.spacing, 1.0)
    size = (inside.sum() * spacing.prod()) ** (1 / max(sum(seen), 1))
    return [
        max(1, round(float(size / _STEPS / s))) if n else 1
        for n, s in zip(seen, spacing, strict=True)
    ]


def _coarse(volume: NDArray[Any], factors: list[int]) -> NDArray[np.float32]:
    """Block means of a volume (..., X, Y, Z); what does not fill a block is left out."""
    for axis, factor in zip((-3, -2, -1), factors, strict=True):
        if factor > 1:
            size = volume.shape[axis] // factor * factor
            parts = [volume.take(range(start, size, factor), axis=axis) for start in range(factor)]
            volume = sum(parts[1:], parts[0].astype(np.float32)) / np.float32(factor)
    return np.asarray(volume, np.float32)
