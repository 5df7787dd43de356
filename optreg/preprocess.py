"""From two images to normalized volumes on one cropped grid, ready for the stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optreg.config import PreprocessConfig
from optreg.errors import GeometryError, InputError
from optreg.image import Image, check_size
from optreg.intensities import find_intensities

__all__ = [
    "Box",
    "box_around",
    "check_content",
    "check_overlap",
    "foreground_box",
    "foreground_overlap",
    "normalize",
]

_LARGEST = 1e38
"""Intensity that float32 holds with room for sums of a few."""


@dataclass(frozen=True)
class Box:
    """Part of a grid; ``crop`` takes it out, ``paste`` puts a displacement field back."""

    slices: tuple[slice, slice, slice]
    full_shape: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each axis."""
        x, y, z = (s.stop - s.start for s in self.slices)
        return x, y, z

    def crop(self, volume: Any, xp: Any = np) -> Any:
        """The box of a volume (..., X, Y, Z); what lies outside the volume is zero."""
        inside, pad = [], [(0, 0)] * (volume.ndim - 3)
        for s, n in zip(self.slices, self.full_shape, strict=True):
            inside.append(slice(max(s.start, 0), min(s.stop, n)))
            pad.append((max(-s.start, 0), max(s.stop - n, 0)))
        part = volume[(Ellipsis, *inside)]
        return xp.ascontiguousarray(xp.pad(part, pad))

    def paste(self, field: Any, xp: Any = np) -> Any:
        """Field (3, x, y, z) on the full grid, its edge repeated outside the box.

        Repeating keeps every derivative that leaves the box at zero, so it cannot fold.
        """
        out = xp.empty((len(field), *self.full_shape), field.dtype)
        inside = tuple(
            slice(max(s.start, 0), min(s.stop, n))
            for s, n in zip(self.slices, self.full_shape, strict=True)
        )
        cut = tuple(
            slice(i.start - s.start, i.stop - s.start)
            for s, i in zip(self.slices, inside, strict=True)
        )
        out[(slice(None), *inside)] = field[(slice(None), *cut)]
        for axis, i in enumerate(inside, start=1):
            # What is filled already grows with each axis, so corners are filled as well.
            ends = xp.moveaxis(out, axis, 0)
            ends[: i.start], ends[i.stop :] = ends[i.start], ends[i.stop - 1]
        return out


def check_content(image: Image, role: str) -> None:
    """Refuse what cannot be registered.

    Raises
    ------
    InputError
        Wrong type, too small, NaN, infinite or huge values, nothing but zeros, one constant.
    """
    name = image.name or role
    data = image.data
    if data.dtype.kind not in "buif":
        raise InputError(f"{name}: dtype {data.dtype} is not a real number; give one channel")
    check_size(data.shape, name)
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        bad = ~np.isfinite(data)
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(f"{name}: {int(bad.sum())} NaN or infinite voxels, first at {first}")
    low, high = data.min(), data.max()
    if low == high:
        what = "no foreground, all voxels are 0" if low == 0 else "constant image"
        raise InputError(f"{name}: {what}; nothing to register")
    reach = max(abs(float(low)), abs(float(high)))
    if reach > _LARGEST:
        raise InputError(f"{name}: intensities reach {reach:g}, too large; divide them by that")


def check_overlap(fixed: Image, moving: Image) -> None:
    """Refuse images that are in different places of the world.

    Raises
    ------
    GeometryError
        The fields of view do not overlap.
    """
    if not fixed.grid.overlaps(moving.grid):
        corners = (np.round(image.grid.bounds_mm, 1).tolist() for image in (fixed, moving))
        boxes = [f"{low} to {high}" for low, high in corners]
        raise GeometryError(
            f"{moving.name or 'moving'}: fields of view do not overlap: fixed {boxes[0]} mm, "
            f"moving {boxes[1]} mm; align the images, or start with --init affine"
        )


def foreground_overlap(fixed: Any, moving: Any, regions: tuple[Any, Any] = (None, None)) -> float:
    """Dice coefficient of the foregrounds (> 0) of two volumes, where both regions count (> 0).

    What one image does not show is not missing in the other.
    """
    f, m = fixed > 0, moving > 0
    for region in regions:
        if region is not None:
            f, m = f & (region > 0), m & (region > 0)
    return 2.0 * float((f & m).sum()) / max(float(f.sum() + m.sum()), 1.0)


def normalize(data: Any, config: PreprocessConfig, xp: Any = np, region: Any | None = None) -> Any:
    """Intensities scaled to 0..1: 0 is the background, 1 a high percentile of the foreground.

    An intensity scaling or, for images with negative values, a shift of the input leaves the result
    unchanged. What the intensities are is read where `region` (X, Y, Z) is above 0; without,
    everywhere.
    """
    values = data.astype(xp.float64, copy=False)
    base, floor, top = find_intensities(values, config.percentile, xp, region)
    out = (values - base) / (top - base)
    out[values <= floor] = 0.0
    return xp.clip(out, 0.0, 1.0, out=out).astype(xp.float32)


def box_around(mask: Any, xp: Any = np) -> tuple[slice, slice, slice]:
    """Smallest box of a volume (X, Y, Z) that holds all of a mask, which is not empty."""
    ends = []
    for axis in range(3):
        used = xp.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        ends.append(slice(int(used[0]), int(used[-1]) + 1))
    return ends[0], ends[1], ends[2]


def foreground_box(
    fixed: Any, moving: Any, margin_vox: int, sizes: tuple[int, int], xp: Any = np
) -> Box:
    """Box around the foregrounds (> 0) of both volumes.

    Its sizes are divisible by the first of `sizes`, and no less than the second. It may reach
    beyond the grid where that has not as many voxels.
    """
    slices = []
    multiple, least = sizes
    around = box_around((fixed > 0) | (moving > 0), xp)
    for used, n in zip(around, fixed.shape, strict=True):
        low, high = max(used.start - margin_vox, 0), min(used.stop + margin_vox, n)
        high = low + max(high - low, least)
        high += -(high - low) % multiple
        shift = min(max(high - n, 0), low)  # stay inside the grid where there is room
        low, high = low - shift, high - shift
        slices.append(slice(low, high))
    return Box((slices[0], slices[1], slices[2]), fixed.shape)  # type: ignore[arg-type]
