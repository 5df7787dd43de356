"""MIND-SSC features."""

from __future__ import annotations

from optreg.kernels.gpu.smooth import box_filter
from optreg.kernels.reference.mind import ALL, CLAMP, PAIRS

__all__ = ["mind_ssc"]


def mind_ssc(engine, image, radius=1, dilation=2, channels=ALL):
    """MIND-SSC features (C, X, Y, Z); see ``kernels.cpu.mind``."""
    xp, count = engine.xp, image.size
    distance = engine.empty((len(channels), *image.shape))
    work = engine.empty(image.shape)
    for channel, target in zip(channels, distance, strict=True):
        offsets = [dilation * o for neighbour in PAIRS[channel] for o in neighbour]
        engine.launch("squared_difference", count, image, *image.shape, *offsets, work)
        box_filter(engine, work, radius, target)
    engine.launch("subtract_minimum", count, len(channels), count, distance, work)
    overall = xp.maximum(work.mean(dtype=xp.float64), 1e-12).astype(xp.float32)
    overall = xp.asarray(overall)
    engine.launch("exponential", count, work, overall, CLAMP, len(channels), count, distance)
    return distance
