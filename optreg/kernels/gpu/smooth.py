"""Separable filters: the Gaussian of force and field, the box of patches."""

from __future__ import annotations

__all__ = ["box_filter", "gaussian_filter"]

_LARGE = 2**21
"""Voxels of a channel that keep the device busy alone: others need not be filtered with it."""


def gaussian_filter(engine, volume, sigma, out=None, work=None):
    """Gaussian cut at three standard deviations; see ``kernels.cpu.smooth``.

    `work` is not used: it takes two volumes.
    """
    return _separable(engine, volume, engine.gaussian(sigma), out)


def box_filter(engine, volume, radius, out=None, work=None):
    """Mean over (2 r + 1)^3 voxels; see ``kernels.cpu.smooth``."""
    return _separable(engine, volume, engine.box(radius), out)


def _separable(engine, volume, weights, out):
    """Along z, y and x; `out` may be `volume`."""
    out = engine.empty(volume.shape) if out is None else out
    if volume.ndim > 3 and volume[0].size > _LARGE:
        for channel, target in zip(volume, out, strict=True):
            _separable(engine, channel, weights, target)
        return out
    first, second = engine.empty(volume.shape), engine.empty(volume.shape)
    _, ny, nz = volume.shape[-3:]
    steps = ((volume, first, nz, 1), (first, second, ny, nz), (second, out, 0, ny * nz))
    for source, target, length, stride in steps:
        # The channels follow each other along x: its length is that of one of them.
        length = length or volume.shape[-3]
        engine.launch(
            "filter_axis", volume.size, source, weights, len(weights) - 1, length, stride,
            volume.size, target,
        )  # fmt: skip
    return out
