"""Displacement search on a grid, in NumPy."""

from __future__ import annotations

import itertools

import numpy as np


def cost_volume(fixed, moving, radius):
    """Mean squared feature difference ((2 r + 1)^3, X, Y, Z) for every displacement."""
    shape = fixed.shape[1:]
    padded = np.pad(moving, [(0, 0), *[(radius, radius)] * 3], mode="edge")
    costs = []
    for start in itertools.product(range(2 * radius + 1), repeat=3):
        at = (slice(None), *(slice(s, s + n) for s, n in zip(start, shape, strict=True)))
        costs.append(((fixed - padded[at]) ** 2).mean(axis=0))
    return np.stack(costs)


def convex_step(cost, disp, coupling):
    """Displacement (3, X, Y, Z) that minimizes ``cost + coupling * |d - disp|^2`` per voxel."""
    radius = (round(len(cost) ** (1 / 3)) - 1) // 2
    offsets = np.array(list(itertools.product(range(-radius, radius + 1), repeat=3)))
    distance = ((offsets[:, :, None, None, None] - disp) ** 2).sum(axis=1)
    best = np.argmin(cost + coupling * distance, axis=0)
    return np.moveaxis(offsets[best], -1, 0).astype(np.float32)
