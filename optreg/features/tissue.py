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

from optreg.kernels import Backend

__all__ = [
    "VALUES",
    "bins",
    "class_centres",
    "class_maps",
    "global_correlation",
    "lookup",
    "match_classes",
    "paired_centres",
    "posterior_table",
]

_BINS = 1024
VALUES = np.arange(_BINS) / (_BINS - 1)
"""Intensity of each bin."""
_CLASSES = 3


def class_centres(volume: Any, backend: Backend) -> np.ndarray:
    """Centres of three intensity classes of the foreground (> 0) of a volume in 0..1, ascending.

    k-means on the histogram from fixed quantiles: deterministic and independent of voxel order.
    """
    return _centres(_histogram(volume, backend))


def paired_centres(fixed: Any, moving: Any, backend: Backend) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the classes of two volumes (0..1) of one object in one contrast, each ascending.

    Both are taken where both have foreground (> 0): what only one of them shows, such as a rim
    that was not stripped off the other, belongs to no class of that one. A class of one image is
    about as much of the object as the same class of the other. So k-means first finds classes of
    equal share, whatever was done to the intensities of one image without changing their order
    (one point for each quantile, with its intensity in both images as coordinates); from there it
    goes on in each image alone, and the mean of both counts.
    """
    both = (fixed > 0) & (moving > 0)
    if not bool(both.any()):
        return class_centres(fixed, backend), class_centres(moving, backend)
    counts = [_histogram(volume * both, backend) for volume in (fixed, moving)]
    points = np.stack([np.interp(VALUES, np.cumsum(c) / c.sum(), VALUES) for c in counts])
    shared = _lloyd(points, np.ones(_BINS))
    first, second = (
        0.5 * (start + _centres(c, start)) for c, start in zip(counts, shared, strict=True)
    )
    return np.asarray(first), np.asarray(second)


def bins(volume: Any, xp: Any) -> Any:
    """Bin of every voxel of a volume in 0..1."""
    return (volume * (_BINS - 1)).astype(xp.int32)


def _histogram(volume: Any, backend: Backend) -> np.ndarray:
    """Number of foreground voxels at each of the intensities."""
    found = bins(volume[volume > 0], backend.xp)
    counts = backend.asnumpy(backend.xp.bincount(found, minlength=_BINS))
    return np.asarray(counts, np.float64)


def _centres(counts: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """Centres of the classes of a histogram, (classes,)."""
    weights = counts.copy()
    # Clipped intensities pile up in the last bin and would pull a class towards it; where there is
    # nothing else, it is all there is.
    weights[-1] = min(weights[-1], max(weights[:-1].max(), 1.0))
    return _lloyd(VALUES[None], weights, None if start is None else start[None])[0]


def _lloyd(
    points: np.ndarray, weights: np.ndarray, centres: np.ndarray | None = None
) -> np.ndarray:
    """k-means of ordered points (dimensions, N) with weights (N,); (dimensions, classes)."""
    if centres is None:
        cumulative = np.cumsum(weights) / weights.sum()
        quantiles = (np.arange(_CLASSES) + 0.5) / _CLASSES
        centres = np.array([np.interp(quantiles, cumulative, row) for row in points])
    for _ in range(200):
        distance = ((points[:, None] - centres[:, :, None]) ** 2).sum(axis=0)
        member = distance.argmin(axis=0)
        mass = np.bincount(member, weights, _CLASSES)
        sums = np.array([np.bincount(member, weights * row, _CLASSES) for row in points])
        updated = np.where(mass > 0, sums / np.maximum(mass, 1e-30), centres)
        if np.abs(updated - centres).max() < 1e-6:
            break
        centres = updated
    return centres


def posterior_table(centres: np.ndarray, sharpness: float) -> np.ndarray:
    """Soft membership (classes, bins) of every intensity, Gaussian classes of one width."""
    width = max(float(np.diff(centres).min()), 1e-3) / sharpness
    distance = -0.5 * ((VALUES - centres[:, None]) / width) ** 2
    table = np.exp(distance - distance.max(axis=0))
    return table / table.sum(axis=0)


def lookup(volume: Any, table: np.ndarray, xp: Any) -> Any:
    """Entry of a table (..., bins) over intensities at every voxel; 0 in the background."""
    table = table.astype(np.float32)
    table[..., 0] = 0.0
    return xp.take(xp.asarray(table), bins(volume, xp), axis=-1)


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
