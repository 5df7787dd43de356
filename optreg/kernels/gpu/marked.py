"""Sets of voxels, as flat indices: their neighbours, and where a field takes them."""

from __future__ import annotations

__all__ = ["landing", "spread"]


def spread(engine, parts, shape, corners=True, rounds=1):
    """Voxels of any of several sets, and their neighbours; see ``kernels.cpu.marked``.

    All voxels are looked at: that takes less time than to sort lists.
    """
    xp, voxels = engine.xp, shape[0] * shape[1] * shape[2]
    marked = xp.zeros(voxels, xp.uint8)
    for part in parts:
        engine.launch("mark", len(part), part, len(part), marked)
    for _ in range(rounds):
        grown = engine.empty((voxels,), xp.uint8)
        engine.launch("spread", voxels, marked, *shape, corners, grown)
        marked = grown
    return xp.flatnonzero(marked)


def landing(engine, disp, marked):
    """Voxels nearest to where a displacement takes some; see ``kernels.cpu.marked``."""
    out = engine.empty(marked.shape, "int64")
    engine.launch("landing", len(marked), disp, marked, len(marked), *disp.shape[1:], out)
    return out
