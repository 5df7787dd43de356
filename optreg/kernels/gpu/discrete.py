"""Displacement search on a grid."""

from __future__ import annotations

__all__ = ["convex_step", "cost_volume"]


def cost_volume(engine, fixed, moving, radius):
    """Mean squared feature difference of every displacement; see ``kernels.cpu.discrete``."""
    channels, *shape = fixed.shape
    out = engine.empty(((2 * radius + 1) ** 3, *shape))
    engine.launch("cost_volume", out.size, fixed, moving, channels, *shape, radius, out)
    return out


def convex_step(engine, cost, disp, coupling):
    """Best displacement per voxel; see ``kernels.cpu.discrete``."""
    out = engine.empty(disp.shape)
    radius = (round(len(cost) ** (1 / 3)) - 1) // 2
    count = disp[0].size
    engine.launch("convex_step", count, cost, disp, coupling, radius, count, out)
    return out
