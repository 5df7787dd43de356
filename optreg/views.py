"""What the pictures of a registration show: planes, slices, differences, deformation.

`plot` and `report` draw the same things; this module prepares them once, free of any drawing
library. Everything here is in canonical order: axes to the right, front and top of the subject
(RAS), whatever the order in the file, cropped to the region that holds something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from optreg.image import Image
from optreg.intensities import find_intensities
from optreg.transform import DisplacementField
from optreg.transform.canonical import Canonical

if TYPE_CHECKING:
    from optreg.result import Registration

__all__ = [
    "PLANES",
    "Plane",
    "Views",
    "collect",
    "foreground",
    "nice_limit",
    "planes_of",
    "tissue_levels",
]

# Determinants below this are drawn as this: the logarithm of a fold does not exist.
_SMALLEST_DETERMINANT = 1e-3
_MARGIN_MM = 6.0
# Intensity classes of the mapping between contrasts, and how many voxels it is estimated from.
_BINS, _SAMPLES = 64, 200_000


@dataclass(frozen=True)
class Plane:
    """A viewing plane: the canonical axis across it and the letters at its four sides.

    Pictures follow the neurological convention, the subject's left on the left.
    """

    name: str
    axis: int
    left: str
    right: str
    top: str
    bottom: str

    @property
    def across(self) -> int:
        """Canonical axis from left to right in the picture."""
        return 1 if self.axis == 0 else 0

    @property
    def upward(self) -> int:
        """Canonical axis from bottom to top in the picture."""
        return 1 if self.axis == 2 else 2

    def picture(self, volume: NDArray[Any], index: int) -> NDArray[Any]:
        """Slice `index` of a canonical (X, Y, Z) volume as rows from the top."""
        return np.take(volume, index, axis=self.axis).T[::-1]


PLANES = (
    Plane("axial", 2, "L", "R", "A", "P"),
    Plane("coronal", 1, "L", "R", "S", "I"),
    Plane("sagittal", 0, "P", "A", "S", "I"),
)


def planes_of(shape: tuple[int, ...]) -> list[Plane]:
    """Planes in which a canonical volume shows more than a line."""
    return [p for p in PLANES if min(shape[p.across], shape[p.upward]) > 1]


@dataclass(frozen=True, eq=False)
class Views:
    """Canonical, cropped volumes of one registration, all (X, Y, Z) of one shape.

    Attributes
    ----------
    fixed, moving, warped : float32
        Own intensities scaled to 0..1; `moving` on the fixed grid without any deformation;
        `moving` and `warped` share one scale.
    before, after : float32
        ``|fixed - moving|`` and ``|fixed - warped|`` as fractions of the fixed image's range, once
        the intensities of the moving image are mapped to the fixed image's (see `collect`).
    log_jacobian : float32
        Natural logarithm of the local volume change, fixed to moving.
    folded : bool
        Where the determinant is not positive.
    positions : (3, X, Y, Z) float32
        Where in the (cropped) moving image each voxel comes from, voxels.
    inside : bool
        Foreground of the fixed image.
    spacing : (3,) mm
    labels : dict
        ``"fixed"`` and ``"warped"`` label maps, where given.
    """

    fixed: NDArray[np.float32]
    moving: NDArray[np.float32]
    warped: NDArray[np.float32]
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    log_jacobian: NDArray[np.float32]
    folded: NDArray[np.bool_]
    positions: NDArray[np.float32]
    inside: NDArray[np.bool_]
    spacing: NDArray[np.float64]
    labels: dict[str, NDArray[Any]]

    @property
    def planes(self) -> list[Plane]:
        """Those in which more than a line is seen: one of the three for a single slice."""
        return planes_of(self.fixed.shape)

    @property
    def mean_difference(self) -> tuple[float, float]:
        """Mean of `before` and of `after` over the foreground of the fixed image."""
        if not self.inside.any():
            return 0.0, 0.0
        return float(self.before[self.inside].mean()), float(self.after[self.inside].mean())

    def slices(self, plane: Plane, count: int) -> list[int]:
        """`count` slice numbers spread over the foreground, its thin ends left out."""
        others = tuple(a for a in range(3) if a != plane.axis)
        filled = np.flatnonzero(self.inside.any(axis=others))
        if not filled.size:
            filled = np.arange(self.fixed.shape[plane.axis])
        first, last = int(filled[0]), int(filled[-1])
        rim = 0.1 * (last - first)
        return sorted({round(p) for p in np.linspace(first + rim, last - rim, max(count, 1))})

    def fullest(self, plane: Plane) -> int:
        """Slice near the middle for a single picture: half-way through the foreground."""
        picks = self.slices(plane, 3)
        return picks[len(picks) // 2]


def collect(
    result: Registration,
    fixed_labels: Image | NDArray[Any] | None = None,
    warped_labels: Image | NDArray[Any] | None = None,
) -> Views:
    """Prepare the volumes that the pictures of a registration are made of.

    Differences are taken after the intensities of the moving image were replaced by the median
    fixed intensity at the same warped intensity. That makes images of two scanners or contrasts
    comparable; the mapping is estimated once, from the warped image, so before and after differ
    by the deformation only.

    Parameters
    ----------
    result : Registration
    fixed_labels, warped_labels : Image or (X, Y, Z) array, optional
        Label maps on the fixed grid.
    """
    way = Canonical(result.fixed.grid)
    fixed = np.asarray(result.fixed.data, np.float32)
    warped = np.asarray(result.warped, np.float32)
    moving = _on_fixed_grid(result)
    inside = foreground(fixed)
    box = _box(way.volume(inside | foreground(moving)), way.grid.spacing)
    mapped_after, mapped_before = _mapped(fixed, warped, moving)
    low, high = _window(fixed, inside)
    determinant = np.asarray(result.transform.jacobian(), np.float32)
    labels = {
        name: way.volume(np.asarray(getattr(given, "data", given)))[box]
        for name, given in (("fixed", fixed_labels), ("warped", warped_labels))
        if given is not None
    }

    def cut(volume: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(way.volume(volume)[box])

    def difference(other: NDArray[np.float32]) -> NDArray[np.float32]:
        return cut(np.clip(np.abs(other - fixed) / (high - low), 0, 1))

    scale = _window(warped, foreground(warped))
    positions = way.field(np.asarray(result.disp))
    positions += np.indices(way.grid.shape, dtype=np.float32)
    start = np.array([part.start for part in box], np.float32).reshape(3, 1, 1, 1)
    return Views(
        fixed=cut(np.clip((fixed - low) / (high - low), 0, 1)),
        moving=cut(np.clip((moving - scale[0]) / (scale[1] - scale[0]), 0, 1)),
        warped=cut(np.clip((warped - scale[0]) / (scale[1] - scale[0]), 0, 1)),
        before=difference(mapped_before),
        after=difference(mapped_after),
        log_jacobian=cut(np.log(np.maximum(determinant, _SMALLEST_DETERMINANT))),
        folded=cut(determinant <= 0),
        positions=positions[(slice(None), *box)] - start,
        inside=cut(inside),
        spacing=way.grid.spacing,
        labels=labels,
    )


def foreground(volume: NDArray[Any]) -> NDArray[np.bool_]:
    """Where an image shows something.

    Not the background value where the image has one (skull-stripped), else above the mean.
    """
    lowest = volume.min()
    inside = volume > lowest
    return inside if inside.mean() < 0.9 else volume > volume.mean()


def tissue_levels(volume: NDArray[Any], inside: NDArray[np.bool_]) -> list[float]:
    """Intensities at which to draw the outlines of an image: of the whole and its brightest part.

    Half the darkest of three clusters of the foreground (Lloyd's algorithm), and the midpoint of
    the two brightest, which in a T1-weighted brain is the border of grey and white matter.
    """
    values = np.sort(volume[inside].ravel())[:: max(int(inside.sum()) // 20000, 1)]
    if values.size < 3 or values[0] == values[-1]:
        return []
    low, high = np.quantile(values, [0.02, 0.98])
    centres = low + (high - low) * np.array([0.0, 0.5, 1.0])
    for _ in range(30):
        edges = np.searchsorted(values, (centres[1:] + centres[:-1]) / 2)
        parts = [part for part in np.split(values, edges) if part.size]
        centres = np.array([part.mean() for part in parts])
    return [float(centres[0] / 2), float(centres[-2:].mean())]


def nice_limit(value: float) -> float:
    """Smallest of 0.1 0.2 0.3 0.5 0.75 1 1.5 2 3 that is not below `value`: end of a scale."""
    return next((n for n in (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0) if n >= value), 3.0)


def _on_fixed_grid(result: Registration) -> NDArray[np.float32]:
    if result.moving.grid.same_as(result.fixed.grid):
        return np.asarray(result.moving.data, np.float32)
    still = DisplacementField.identity(result.fixed.grid, result.moving.grid)
    return np.asarray(still.apply(result.moving, "linear").data, np.float32)


def _window(volume: NDArray[np.float32], inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Darkest and brightest intensity worth showing; never equal."""
    values = volume[inside] if inside.any() else volume.ravel()
    low, high = (float(p) for p in np.percentile(values, [0.5, 99.5]))
    # A dark rim belongs to the picture: where the background is darker still, start there.
    low = min(low, max(float(volume.min()), low - 0.5 * (high - low)))
    return (low, high) if high > low else (low, low + 1)


def _mapped(
    fixed: NDArray[np.float32],
    warped: NDArray[np.float32],
    moving: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`warped` and `moving` in fixed intensities: median fixed intensity per warped intensity.

    The background of one is that of the other, whatever lies on it elsewhere: what the foregrounds
    say of each other is estimated where both are.
    """
    base, floor, _ = find_intensities(moving, sparse=True)
    fixed_base, fixed_floor, _ = find_intensities(fixed, sparse=True)
    inside = (warped > floor) & (fixed > fixed_floor)
    step = max(int(inside.sum()) // _SAMPLES, 1)
    values, targets = warped[inside][::step], fixed[inside][::step]
    if values.size < _BINS or values.min() == values.max():
        return warped, moving
    # Bins of equal count. The median, because at the rim tissue is mixed with background and the
    # mixture has intensities that elsewhere mean another tissue.
    parts = np.array_split(np.argsort(values, kind="stable"), _BINS)
    level = np.array([values[part].mean() for part in parts])
    target = np.array([np.median(targets[part]) for part in parts])
    level, which = np.unique(level, return_inverse=True)
    target = np.bincount(which, target) / np.bincount(which)
    # From the background on, so that a rim that is half background is half as bright.
    level, target = np.append(base, level), np.append(fixed_base, target)
    after, before = (
        np.where(image > floor, np.interp(image, level, target), fixed_base).astype(np.float32)
        for image in (warped, moving)
    )
    return after, before


def _box(mask: NDArray[np.bool_], spacing: NDArray[np.float64]) -> tuple[slice, ...]:
    """Slices of the bounding box of a canonical mask plus a margin; everything if it is empty."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found or found[0] is None:
        return tuple(slice(0, n) for n in mask.shape)
    margins = np.ceil(_MARGIN_MM / spacing).astype(int)
    return tuple(
        slice(max(part.start - int(m), 0), min(part.stop + int(m), n))
        for part, m, n in zip(found[0], margins, mask.shape, strict=True)
    )
