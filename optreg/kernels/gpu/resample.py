"""Factor-two pyramids."""

from __future__ import annotations

__all__ = ["downsample", "upsample"]


def downsample(engine, volume):
    """Mean of 2x2x2 blocks; see ``kernels.cpu.resample``."""
    half = tuple(n // 2 for n in volume.shape[-3:])
    # Of an odd number the last is left out.
    volume = engine.xp.ascontiguousarray(volume[(..., *(slice(2 * n) for n in half))])
    out = engine.empty((*volume.shape[:-3], *half))
    channels = out.size // max(half[0] * half[1] * half[2], 1)
    engine.launch("downsample", out.size, volume, channels, *half, out)
    return out


def upsample(engine, volume, factor=1.0):
    """Twice as many voxels, linear, times `factor`; see ``kernels.cpu.resample``."""
    shape = volume.shape[-3:]
    out = engine.empty((*volume.shape[:-3], *(2 * n for n in shape)))
    channels = volume.size // (shape[0] * shape[1] * shape[2])
    engine.launch("upsample", out.size, volume, channels, *shape, factor, out)
    return out
