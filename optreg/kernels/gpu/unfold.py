"""Local smoothing of a displacement field around folded voxels."""

from __future__ import annotations

__all__ = ["smooth_marked"]


def smooth_marked(engine, disp, index):
    """Binomial mean of the neighbourhood at some voxels, in place; see ``kernels.cpu.unfold``."""
    values = engine.empty((len(index), 3))
    count, shape, voxels = len(index), disp.shape[1:], engine.voxels(index)
    engine.launch("binomial_means", count, disp, voxels, count, *shape, values)
    engine.launch("scatter", count, values, voxels, count, *shape, disp)
    return disp
