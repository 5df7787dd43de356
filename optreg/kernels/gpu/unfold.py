"""Local smoothing of a displacement field around folded voxels."""

from __future__ import annotations

__all__ = ["smooth_marked"]


def smooth_marked(engine, disp, marked):
    """Binomial mean of the neighbourhood at some voxels, in place; see ``kernels.cpu.unfold``."""
    count, shape = len(marked), disp.shape[1:]
    values = engine.empty((count, 3))
    engine.launch("binomial_means", count, disp, marked, count, *shape, values)
    engine.launch("scatter", count, values, marked, count, *shape, disp)
    return disp
