"""What the interpolation kernels leave out: affine parts, the border, votes between labels."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from optreg.kernels import get_backend

__all__ = [
    "affine_displacement",
    "displacement_at",
    "thickened",
    "map_field",
    "outside",
    "rotate",
    "warp_labels_linear",
]

_SLAB_VOXELS = 1 << 18
"""Voxels whose eight neighbours are looked at together: the working set stays in the cache."""


def affine_displacement(
    matrix: NDArray[np.floating[Any]], shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    """``matrix(x) - x`` at every voxel position x, (3, X, Y, Z) float32, for a (4, 4) matrix."""
    out = np.empty((3, *shape), np.float32)
    for row in range(3):
        terms = []
        for axis, n in enumerate(shape):
            slope = matrix[row, axis] - (row == axis)
            ramp = slope * np.arange(n, dtype=np.float64)
            terms.append(ramp.reshape([n if a == axis else 1 for a in range(3)]))
        # Summed in float64 and rounded once: a ramp over 200 voxels added up in float32 is off by
        # more than the rounding of the result.
        np.add(terms[0] + terms[1] + matrix[row, 3], terms[2], out=out[row], casting="same_kind")
    return out


def map_field(matrix: NDArray[np.floating[Any]], disp: NDArray[np.float32]) -> NDArray[np.float32]:
    """Displacements ``matrix(x + disp(x)) - x``: `disp` followed by a change of voxel positions."""
    cpu = get_backend("cpu").kernels
    return np.asarray(cpu.map_field(matrix, np.ascontiguousarray(disp, np.float32)))


def thickened(volume: NDArray[Any], count: int = 2) -> NDArray[Any]:
    """Volume (..., X, Y, Z) in which axes of a single voxel have `count` of them, all alike.

    Kernels read a voxel and its next one, along every axis.
    """
    for axis in range(-3, 0):
        if volume.shape[axis] == 1:
            volume = np.repeat(volume, count, axis=axis)
    return np.ascontiguousarray(volume)


def displacement_at(
    disp: NDArray[np.floating[Any]], points: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Displacement (N, 3) at positions (N, 3) in voxels, interpolated linearly."""
    parts = (
        ndimage.map_coordinates(part, points.T, np.float64, order=1, mode="nearest")
        for part in disp
    )
    return np.stack(list(parts), axis=1)


def rotate(linear: NDArray[np.floating[Any]], vectors: NDArray[Any]) -> NDArray[np.float32]:
    """(3, 3) matrix times each of the vectors (3, X, Y, Z)."""
    flat = np.ascontiguousarray(vectors, np.float32).reshape(3, -1)
    return (linear.astype(np.float32) @ flat).reshape(vectors.shape)


def outside(disp: Any, shape: tuple[int, ...], xp: Any = np) -> Any:
    """(X, Y, Z) whether ``x + disp(x)`` is beyond the outer voxel faces of an array of `shape`.

    Faces, not centres: the last half voxel belongs to the image, as in ITK. With the centres as
    border, rounding errors of an identity transform would blank whole faces of the image.
    """
    out = xp.zeros(disp.shape[1:], bool)
    for axis, n in enumerate(shape):
        index = xp.arange(disp.shape[1 + axis], dtype=xp.float32)
        index = index.reshape([-1 if a == axis else 1 for a in range(3)])
        out |= disp[axis] < np.float32(-0.5) - index
        out |= disp[axis] > np.float32(n - 0.5) - index
    return out


def warp_labels_linear(labels: NDArray[Any], disp: NDArray[np.float32]) -> NDArray[Any]:
    """The label with the largest linear interpolation weight at ``x + disp(x)``.

    Equals the argmax over the linearly warped one-hot volumes, without making them: the weight of
    a label is the sum of the weights of those of the eight neighbours that carry it. Ties go to
    the smaller label. Positions are clamped to the edge.
    """
    labels = np.ascontiguousarray(labels)
    out = np.empty(disp.shape[1:], labels.dtype)
    step = max(1, _SLAB_VOXELS // max(1, out[0].size))
    for start in range(0, out.shape[0], step):
        part = slice(start, start + step)
        neighbours, weights = _neighbours(labels, disp[:, part], start)
        slab = neighbours[0].copy()
        # Inside a structure all eight agree; only the voxels at its surface need the vote.
        mixed = (neighbours != neighbours[0]).any(axis=0)
        slab[mixed] = _vote(neighbours[:, mixed], weights[:, mixed])
        out[part] = slab.reshape(out[part].shape)
    return out


def _neighbours(
    labels: NDArray[Any], disp: NDArray[np.float32], start: int
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Labels and weights (8, N) of the voxels around each sampled position."""
    flat, strides = labels.ravel(), (labels.shape[1] * labels.shape[2], labels.shape[2], 1)
    ends: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    shares: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for axis, n in enumerate(labels.shape):
        index = np.arange(disp.shape[1 + axis]) + (start if axis == 0 else 0)
        index = index.reshape([-1 if a == axis else 1 for a in range(3)])
        position = np.clip(index + disp[axis].astype(np.float64), 0, n - 1).ravel()
        lower = np.minimum(position.astype(np.int64), max(n - 2, 0))
        upper = np.minimum(lower + 1, n - 1)
        share = position - lower
        ends.append((lower * strides[axis], upper * strides[axis]))
        shares.append((1 - share, share))
    corners = list(product((0, 1), repeat=3))
    found = np.stack([flat[ends[0][i] + ends[1][j] + ends[2][k]] for i, j, k in corners])
    weights = np.stack([shares[0][i] * shares[1][j] * shares[2][k] for i, j, k in corners])
    return found, weights


def _vote(neighbours: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[Any]:
    best = np.full(neighbours.shape[1], -1.0)
    winner = neighbours[0].copy()
    for candidate in neighbours:
        total = np.where(neighbours == candidate, weights, 0).sum(axis=0)
        better = (total > best) | ((total == best) & (candidate < winner))
        best = np.where(better, total, best)
        winner = np.where(better, candidate, winner)
    return winner
