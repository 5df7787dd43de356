"""Separable filters: the Gaussian of force and field, the box of patches."""

from __future__ import annotations

from optreg.kernels.reference.weights import of_each_axis

__all__ = ["box_filter", "filter_axes", "gaussian_filter"]

_LARGE = 2**21
"""Voxels of a channel that keep the device busy alone: others need not be filtered with it."""


def gaussian_filter(engine, volume, sigma, out=None, work=None):
    """Gaussian cut at three standard deviations; see ``kernels.cpu.smooth``.

    `work` is not used: it takes two volumes.
    """
    weights = tuple(engine.gaussian(s) for s in of_each_axis(sigma))
    return filter_axes(engine, volume, weights, out)


def box_filter(engine, volume, radius, out=None, work=None):
    """Mean over (2 r + 1)^3 voxels; see ``kernels.cpu.smooth``."""
    return filter_axes(engine, volume, (engine.box(radius),) * 3, out)


def filter_axes(engine, volume, weights, out=None):
    """Filters along x, y and z, given by one half; `out` may be `volume`."""
    out = engine.empty(volume.shape) if out is None else out
    engine.require_shapes("filter_axes", (out, volume.shape))
    if volume.ndim > 3 and volume[0].size > _LARGE:
        for channel, target in zip(volume, out, strict=True):
            filter_axes(engine, channel, weights, target)
        return out
    first, second = engine.empty(volume.shape), engine.empty(volume.shape)
    # The channels follow each other along x: its length is that of one of them.
    nx, ny, nz = volume.shape[-3:]
    along_x, along_y, along_z = weights
    steps = (
        (volume, along_z, first, nz, 1),
        (first, along_y, second, ny, nz),
        (second, along_x, out, nx, ny * nz),
    )
    for source, half, target, length, stride in steps:
        engine.launch(
            "filter_axis", volume.size, source, half, len(half) - 1, length, stride, volume.size,
            target,
        )  # fmt: skip
    return out
