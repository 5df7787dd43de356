"""Sampling volumes at displaced positions; composing displacement fields."""

from __future__ import annotations

__all__ = ["compose", "map_field", "warp", "warp_labels", "warp_nearest"]


def warp(engine, image, disp, out=None):
    """Linear interpolation ``image(x + disp(x))``; see ``kernels.cpu.warp``."""
    shape = disp.shape[1:]
    size = (*image.shape[:-3], *shape)
    out = engine.empty(size) if out is None else out
    engine.require_shapes("warp", (out, size), (disp, (3, *shape)))
    channels = image.size // _voxels(image.shape[-3:])
    engine.launch(
        "warp", _voxels(shape), image, channels, *image.shape[-3:], disp, *shape, out
    )  # fmt: skip
    return out


def compose(engine, outer, inner, out=None):
    """``inner(x) + outer(x + inner(x))``; see ``kernels.cpu.warp``."""
    out = engine.empty(inner.shape) if out is None else out
    shape = inner.shape[1:]
    engine.require_shapes("compose", (out, (3, *shape)), (outer, (3, *outer.shape[1:])))
    engine.launch("compose", _voxels(shape), outer, *outer.shape[1:], inner, *shape, out)
    return out


def map_field(engine, matrix, disp):
    """``matrix(x + disp(x)) - x`` for a (4, 4) matrix; see ``kernels.cpu.warp``."""
    xp, out, shape = engine.xp, engine.empty(disp.shape), disp.shape[1:]
    entries = xp.ascontiguousarray(xp.asarray(matrix[:3], xp.float64))
    engine.launch("map_field", _voxels(shape), entries, disp, *shape, out)
    return out


def warp_nearest(engine, image, disp, out=None):
    """Value of the voxel nearest to ``x + disp(x)``; see ``kernels.cpu.warp``."""
    warped = image.reshape(-1)[_nearest(engine, image, disp, False)]
    if out is None:
        return warped
    out[...] = warped
    return out


def warp_labels(engine, labels, disp):
    """Nearest label, 0 outside the image; see ``kernels.reference.labels``."""
    at = _nearest(engine, labels, disp, True)
    warped = labels.reshape(-1)[engine.xp.maximum(at, 0)]
    warped[at < 0] = 0
    return warped


def _nearest(engine, image, disp, outside):
    shape = disp.shape[1:]
    at = engine.empty(shape, "int32")
    engine.launch(
        "nearest_voxel", _voxels(shape), disp, *shape, *image.shape, outside, at
    )  # fmt: skip
    return at


def _voxels(shape):
    x, y, z = shape
    return x * y * z
