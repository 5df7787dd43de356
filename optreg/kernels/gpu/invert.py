"""Inverse of a displacement field by Newton's method, voxel by voxel."""

from __future__ import annotations

__all__ = ["invert", "invert_at"]

_SWEEPS = 3
"""How often voxels without a solution start again from those of their neighbours."""


def invert(engine, disp, initial=None, iterations=30, tolerance=1e-3, out=None):
    """Inverse displacement; see ``kernels.cpu.invert``.

    Without a first guess each voxel starts from the negative displacement. (The CPU goes from
    voxel to voxel and starts from neighbours that are done; here all go at once.)
    """
    guess, sign = (disp, -1.0) if initial is None else (initial, 1.0)
    shape, count = disp.shape[1:], disp[0].size
    found, other = engine.empty(disp.shape), engine.empty(disp.shape)
    residual, left = engine.empty(shape), engine.empty(shape)
    settings = *shape, iterations, tolerance
    engine.launch("invert", count, disp, guess, sign, *settings, found, residual)
    if initial is None:
        for _ in range(_SWEEPS):
            engine.launch("invert_again", count, disp, found, residual, *settings, other, left)
            found, other, residual, left = other, found, left, residual
    if out is None:
        return found
    out[...] = found
    return out


def invert_at(engine, disp, marked, inverse, iterations=30, tolerance=1e-3):
    """`invert` at some voxels (N,) only, in place; see ``kernels.cpu.invert``."""
    count, settings = len(marked), (*disp.shape[1:], iterations, tolerance)
    engine.launch("invert_at", count, disp, marked, count, *settings, inverse)
    return inverse
