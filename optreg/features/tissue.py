"""Soft tissue maps: unsupervised intensity classes as a second, sharper feature.

Brain tissue forms a few intensity classes in any contrast. A map of the class that is most
abundant along the cortex (grey matter) has edges on both of its sides, is blind to shading within
tissue, and means the same in T1w, T2w or FLAIR images. Classes come from k-means on the histogram
(Lloyd 1982, doi 10.1109/TIT.1982.1056489) and carry no anatomical prior: on other images they
are a contrast-enhanced copy of the intensities.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np

__all__ = [
    "class_centres",
    "class_maps",
    "global_correlation",
    "lookup",
    "match_classes",
    "posterior_table",
]

_BINS = 1024
_CLASSES = 3


def class_centres(volume: Any, xp: Any = np) -> np.ndarray:
    """Centres of three intensity classes of the foreground (> 0) of a volume in 0..1, ascending.

    k-means on the histogram from fixed quantiles: deterministic and independent of voxel order.
    """
    index = (volume[volume > 0] * (_BINS - 1)).astype(xp.int32)
    counts = xp.bincount(index, minlength=_BINS)
    weights = np.asarray(counts.get() if hasattr(counts, "get") else counts, np.float64)
    # Clipped intensities pile up in the last bin and would pull a class towards it; where there is
    # nothing else, it is all there is.
    weights[-1] = min(weights[-1], max(weights[:-1].max(), 1.0))
    values = np.arange(_BINS) / (_BINS - 1)
    cumulative = np.cumsum(weights) / weights.sum()
    centres = np.interp((np.arange(_CLASSES) + 0.5) / _CLASSES, cumulative, values)
    for _ in range(200):
        edges = np.concatenate([[-1.0], (centres[1:] + centres[:-1]) / 2, [2.0]])
        member = np.digitize(values, edges) - 1
        mass = np.bincount(member, weights, _CLASSES)
        sums = np.bincount(member, weights * values, _CLASSES)
        updated = np.where(mass > 0, sums / np.maximum(mass, 1e-30), centres)
        if np.abs(updated - centres).max() < 1e-6:
            break
        centres = updated
    return centres


def posterior_table(centres: np.ndarray, sharpness: float) -> np.ndarray:
    """Soft membership (classes, bins) of every intensity, Gaussian classes of one width."""
    width = max(float(np.diff(centres).min()), 1e-3) / sharpness
    values = np.arange(_BINS) / (_BINS - 1)
    distance = -0.5 * ((values - centres[:, None]) / width) ** 2
    table = np.exp(distance - distance.max(axis=0))
    return table / table.sum(axis=0)


def lookup(volume: Any, table: np.ndarray, xp: Any) -> Any:
    """Entry of a table (..., bins) over intensities at every voxel; 0 in the background."""
    table = table.astype(np.float32)
    table[..., 0] = 0.0
    return xp.take(xp.asarray(table), (volume * (_BINS - 1)).astype(xp.int32), axis=-1)


def class_maps(volume: Any, centres: np.ndarray, sharpness: float, xp: Any = np) -> Any:
    """Soft memberships (3, X, Y, Z) of the classes with these centres."""
    return lookup(volume, posterior_table(centres, sharpness), xp)


def match_classes(fixed_maps: Any, moving_maps: Any) -> tuple[int, ...]:
    """Moving class that belongs to each fixed class: the assignment of largest overlap (Dice)."""
    dice = np.empty((_CLASSES, _CLASSES))
    for i in range(_CLASSES):
        for j in range(_CLASSES):
            both = float((fixed_maps[i] * moving_maps[j]).sum())
            dice[i, j] = 2 * both / max(float(fixed_maps[i].sum() + moving_maps[j].sum()), 1e-9)
    return max(
        permutations(range(_CLASSES)), key=lambda p: sum(dice[i, j] for i, j in enumerate(p))
    )


def global_correlation(fixed: Any, moving: Any, regions: tuple[Any, Any] = (None, None)) -> float:
    """Pearson correlation of the intensities where both volumes have foreground, and count."""
    both = (fixed > 0) & (moving > 0)
    for region in regions:
        if region is not None:
            both &= region > 0
    if int(both.sum()) < 8:
        return 0.0
    f, m = fixed[both], moving[both]
    f, m = f - f.mean(), m - m.mean()
    scale = float((f * f).sum()) * float((m * m).sum())
    return float((f * m).sum()) / max(scale, 1e-30) ** 0.5
