"""Robust Hausdorff distance (HD95) between label maps, with weighted surface elements.

The definition is the one of the "surface distance" metrics that segmentation challenges use
(Nikolov et al., J Med Internet Res 2021, doi 10.2196/26151): the surface of a mask lies in the
2 x 2 x 2 neighbourhoods that are neither empty nor full; each such neighbourhood is one surface
element whose weight is the area that marching cubes would draw in it; distances run from every
element of one surface to the nearest element of the other, and the percentile counts area, not
elements. Outside the image every mask is empty, so a mask that touches the border is closed there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from optreg.errors import InputError
from optreg.image import as_label_map
from optreg.kernels.cpu.labels import nearest_of_label
from optreg.metrics._labels import compact_labels, label_counts, label_list
from optreg.metrics._validate import as_spacing, same_shape

# How far along an axis to look for the other surface, in voxels, before a search tree is built.
_REACH = 10
# Corner k of a neighbourhood; bit k of its code says whether the corner is in the mask.
_CORNERS = np.array(list(itertools.product((0, 1), repeat=3)))


def _segments(code: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Line segments in which the surface crosses the six faces, as pairs of cut edges.

    A face whose corners alternate can be cut in two ways; the corners of the minority in the
    cube are kept apart, those in the mask where both are four (Lorensen & Cline 1987).
    """
    inside = [bool(code >> k & 1) for k in range(8)]
    minority = sum(inside) <= 4
    segments = []
    for axis, side in itertools.product(range(3), (0, 1)):
        face = [k for k in range(8) if _CORNERS[k, axis] == side]
        ring = [face[0], face[1], face[3], face[2]]
        edges = [(ring[i], ring[(i + 1) % 4]) for i in range(4)]
        cut = [(min(e), max(e)) for e in edges if inside[e[0]] != inside[e[1]]]
        if len(cut) == 2:
            segments.append((cut[0], cut[1]))
        elif len(cut) == 4:
            # Cut edge i joins ring corners i and i + 1; corner i lies between edges i - 1 and i.
            apart = [i for i in range(4) if inside[ring[i]] == minority]
            segments += [(cut[i - 1], cut[i]) for i in apart]
    return segments


def _polygons(code: int) -> list[np.ndarray]:
    """Closed polygons (n, 3) of the surface in a unit cube, vertices at the middle of edges."""
    neighbours: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for a, b in _segments(code):
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    polygons = []
    while neighbours:
        loop = [next(iter(neighbours))]
        while True:
            here = loop[-1]
            onward = [n for n in neighbours.pop(here) if n in neighbours]
            if not onward:
                break
            loop.append(onward[0])
        polygons.append(np.array([_CORNERS[list(edge)].mean(axis=0) for edge in loop]))
    return polygons


def _largest_area(polygon: np.ndarray) -> float:
    """Area of a polygon in space, triangulated so that the area is largest.

    Polygons of five and six vertices need not be flat, so that their area depends on how they are
    cut; the reference implementation agrees with the largest one.
    """

    @cache
    def best(i: int, j: int) -> float:
        if j - i < 2:
            return 0.0
        return max(best(i, k) + best(k, j) + triangle(i, k, j) for k in range(i + 1, j))

    def triangle(i: int, k: int, j: int) -> float:
        normal = np.cross(polygon[k] - polygon[i], polygon[j] - polygon[i])
        return 0.5 * float(np.linalg.norm(normal))

    return best(0, len(polygon) - 1)


@cache
def surface_areas(spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """Surface area inside each of the 256 possible 2 x 2 x 2 neighbourhoods.

    Parameters
    ----------
    spacing : tuple of 3 floats
        Voxel size in mm.

    Returns
    -------
    ndarray (256,)
        Area in mm^2. Bit ``4 dx + 2 dy + dz`` of the index stands for the corner (dx, dy, dz).
    """
    scale = np.asarray(spacing, float)
    areas = np.array(
        [sum(_largest_area(p * scale) for p in _polygons(code)) for code in range(256)], float
    )
    areas.flags.writeable = False
    return areas


class _Elements(NamedTuple):
    """Surface elements of all labels of a map, sorted by label."""

    start: np.ndarray  # (labels + 1,) first element of each label
    cell: np.ndarray  # flat index of the neighbourhood in a grid as large as `_wide` says
    code: np.ndarray  # which of its corners have the label

    def part(self, label: int) -> slice:
        return slice(self.start[label], self.start[label + 1])


def _wide(shape: tuple[int, ...]) -> tuple[int, ...]:
    """One cell more than voxels along each axis, and room to look around at both ends."""
    return tuple(n + 1 + 2 * _REACH for n in shape)


def _surface_elements(compact: np.ndarray, count: int) -> _Elements:
    """Find the surface elements of the labels 0..count-1; larger values belong to no label."""
    padded = np.pad(compact, 1, constant_values=count)
    shape = tuple(n + 1 for n in compact.shape)
    windows = [
        padded[tuple(slice(o, o + n) for o, n in zip(corner, shape, strict=True))]
        for corner in _CORNERS
    ]
    # Most neighbourhoods hold one label only: all further work is on the few that do not.
    mixed = np.zeros(shape, bool)
    for window in windows[1:]:
        mixed |= window != windows[0]
    inner = np.flatnonzero(mixed)
    where = np.array(np.unravel_index(inner, shape)) + _REACH
    cells = np.ravel_multi_index(tuple(where), _wide(compact.shape))
    corners = np.stack([window[mixed] for window in windows])
    labels, positions, codes = [], [], []
    for k in range(8):
        # Each label of a neighbourhood is handled at the first corner that has it.
        handled = corners[k] < count
        code = np.zeros(cells.size, np.uint8)
        for j in range(8):
            equal = corners[j] == corners[k]
            code |= equal.astype(np.uint8) << np.uint8(j)
            if j < k:
                handled &= ~equal
        labels.append(corners[k][handled])
        positions.append(cells[handled])
        codes.append(code[handled])
    label = np.concatenate(labels)
    order = np.argsort(label, kind="stable")
    start = np.searchsorted(label[order], np.arange(count + 1))
    return _Elements(start, np.concatenate(positions)[order], np.concatenate(codes)[order])


@cache
def _nearby(spacing_mm: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Steps (K, 3) to the neighbours in a ball of `_REACH` voxels, and their lengths in mm.

    The nearest come first, and none that is left out is nearer than the last.
    """
    steps = np.indices((2 * _REACH + 1,) * 3).reshape(3, -1).T - _REACH
    lengths = np.sqrt(((steps * np.array(spacing_mm)) ** 2).sum(axis=1))
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] < (_REACH + 1) * min(spacing_mm)]
    return steps[order], lengths[order]


def _distances(
    mine: _Elements, others: _Elements, shape: tuple[int, ...], spacing_mm: tuple[float, ...]
) -> np.ndarray:
    """Distance in mm of each element of one map to the nearest one of its label in the other."""
    # Surfaces that are compared are close: a look around each element finds nearly all, and
    # search trees are for the rest.
    steps, lengths = _nearby(spacing_mm)
    offsets = steps @ np.array([shape[1] * shape[2], shape[2], 1])
    found = nearest_of_label(
        mine.cell, mine.start, others.cell, others.start, offsets, lengths, math.prod(shape)
    )

    def points(cells: np.ndarray) -> np.ndarray:
        return np.stack(np.unravel_index(cells, shape), axis=1) * spacing_mm

    for label in range(len(mine.start) - 1):
        targets, part = others.cell[others.part(label)], mine.part(label)
        far = part.start + np.flatnonzero(np.isinf(found[part]))
        if far.size and targets.size:
            tree = cKDTree(points(targets), balanced_tree=False, compact_nodes=False)
            found[far] = tree.query(points(mine.cell[far]))[0]
    return found


def _percentile(distance: np.ndarray, area: np.ndarray, percent: float) -> float:
    """Smallest distance within which at least ``percent`` of the area lies."""
    order = np.argsort(distance)
    share = np.cumsum(area[order])
    share /= share[-1]
    index = min(int(np.searchsorted(share, percent / 100.0)), distance.size - 1)
    return float(distance[order[index]])


def hd95(
    fixed_labels: np.ndarray,
    warped_labels: np.ndarray,
    *,
    labels: Sequence[int] | None = None,
    moving_labels: np.ndarray | None = None,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    percent: float = 95.0,
) -> dict[int, float]:
    """Robust Hausdorff distance per label: the larger of the two directed percentiles.

    Parameters
    ----------
    fixed_labels, warped_labels : ndarray (X, Y, Z)
        Label maps on one grid; ``warped_labels`` are the moving labels after registration.
    labels : sequence of int, optional
        Which labels; all that occur in the fixed or the moving map if absent.
    moving_labels : ndarray, optional
        The label map before warping (any shape). It tells a label that the moving image never had
        (skipped, NaN) from one that the field removed (infinite); without it the warped map
        decides.
    spacing : sequence of 3 floats
        Voxel size in mm.
    percent : float
        Percentile, 0 to 100.

    Returns
    -------
    dict of int to float
        Distance in mm per label. NaN where a label is missing in the fixed or the moving map,
        infinity where the field removed it altogether.

    Raises
    ------
    InputError
        For maps that do not fit each other or hold anything but labels.
    """
    fixed = as_label_map(fixed_labels, "fixed labels")
    warped = as_label_map(warped_labels, "warped labels")
    same_shape(fixed, "fixed labels", warped.shape, "warped labels")
    before = warped if moving_labels is None else as_label_map(moving_labels, "moving labels")
    spacing_mm = as_spacing(spacing)
    if not 0.0 < percent <= 100.0:
        raise InputError(f"percentile of the distances is {percent}; it must lie in (0, 100]")
    fixed_count, moving_count = label_counts(fixed), label_counts(before)
    wanted = label_list(labels, fixed_count, moving_count)

    fixed_elements = _surface_elements(compact_labels(fixed, wanted), len(wanted))
    warped_elements = _surface_elements(compact_labels(warped, wanted), len(wanted))
    areas = surface_areas(spacing_mm)
    settings = _wide(fixed.shape), spacing_mm
    forward = _distances(fixed_elements, warped_elements, *settings)
    backward = _distances(warped_elements, fixed_elements, *settings)
    result = {}
    for index, label in enumerate(wanted):
        here, there = fixed_elements.part(index), warped_elements.part(index)
        if not fixed_count.get(label) or not moving_count.get(label):
            result[label] = float("nan")
        elif there.start == there.stop:
            result[label] = float("inf")
        else:
            result[label] = max(
                _percentile(forward[here], areas[fixed_elements.code[here]], percent),
                _percentile(backward[there], areas[warped_elements.code[there]], percent),
            )
    return result
