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
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from optreg.errors import InputError
from optreg.metrics._labels import as_label_map, compact_labels, label_counts, label_list
from optreg.metrics._validate import as_spacing, same_shape

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
    cell: np.ndarray  # flat index of the neighbourhood in a grid one larger than the map
    code: np.ndarray  # which of its corners have the label

    def of(self, label: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(self.start[label], self.start[label + 1])
        return self.cell[part], self.code[part]


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
    cells = np.flatnonzero(mixed)
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


def _distances(from_cells, to_cells, occupied, spacing_mm):
    """Distance in mm of each cell of one surface to the nearest of the other.

    ``occupied`` is an all-false scratch volume of booleans; it is left all-false.
    """
    distance = np.zeros(from_cells.size)
    # Where the surfaces coincide nothing needs to be searched.
    flat = occupied.reshape(-1)
    flat[to_cells] = True
    apart = np.flatnonzero(~flat[from_cells])
    flat[to_cells] = False
    if apart.size:
        shape = occupied.shape
        targets = np.stack(np.unravel_index(to_cells, shape), axis=1) * spacing_mm
        points = np.stack(np.unravel_index(from_cells[apart], shape), axis=1) * spacing_mm
        tree = cKDTree(targets, balanced_tree=False, compact_nodes=False)
        distance[apart] = tree.query(points)[0]
    return distance


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
    occupied = np.zeros(tuple(n + 1 for n in fixed.shape), bool)
    result = {}
    for index, label in enumerate(wanted):
        cells_f, codes_f = fixed_elements.of(index)
        cells_w, codes_w = warped_elements.of(index)
        if not fixed_count.get(label) or not moving_count.get(label):
            result[label] = float("nan")
        elif not cells_w.size:
            result[label] = float("inf")
        else:
            forward = _distances(cells_f, cells_w, occupied, spacing_mm)
            backward = _distances(cells_w, cells_f, occupied, spacing_mm)
            result[label] = max(
                _percentile(forward, areas[codes_f], percent),
                _percentile(backward, areas[codes_w], percent),
            )
    return result
