"""MIND-SSC features averaged over the cells of a control grid."""

from __future__ import annotations

from typing import Any

from optreg.kernels import Backend

__all__ = ["average_pool", "pooled", "pooled_mind"]


def average_pool(volume: Any, spacing_vox: int) -> Any:
    """Mean over cubes of a volume (..., X, Y, Z) whose last three sizes `spacing_vox` divides."""
    # The slowest axis first: it leaves the least for the reductions with short strides.
    for axis in (-3, -2, -1):
        shape, at = list(volume.shape), volume.ndim + axis
        shape[at : at + 1] = [shape[at] // spacing_vox, spacing_vox]
        volume = volume.reshape(shape).mean(axis=at + 1, dtype=volume.dtype)
    return volume


def pooled(volume: Any, spacing_vox: int, backend: Backend) -> Any:
    """Mean of a volume (X, Y, Z) over the cells of a control grid, see `pooled_mind`."""
    return average_pool(_filled(volume, spacing_vox, backend), spacing_vox)


def pooled_mind(
    image: Any, spacing_vox: int, backend: Backend, radius: int = 1, dilation: int = 2
) -> Any:
    """MIND-SSC of an image, averaged over cubes.

    Parameters
    ----------
    image : (X, Y, Z) float32 array
        Intensities. Sizes that are no multiple of the spacing are filled up with the edge.
    spacing_vox : int
        Edge of the cubes.
    radius, dilation : int
        Of the features, see ``kernels.cpu.mind``.

    Returns
    -------
    (12, x, y, z) float32 array
        At least two cells along each axis. Only these are kept, not the full features.
    """
    full = backend.kernels.mind_ssc(_filled(image, spacing_vox, backend), radius, dilation)
    return backend.xp.stack([average_pool(channel, spacing_vox) for channel in full])


def _filled(volume: Any, spacing_vox: int, backend: Backend) -> Any:
    """Volume whose sizes the spacing divides, two cells or more, the edge repeated."""
    cells = [max(-(-n // spacing_vox), 2) for n in volume.shape]
    fill = [(0, m * spacing_vox - n) for m, n in zip(cells, volume.shape, strict=True)]
    return backend.xp.pad(volume, fill, mode="edge") if any(n for _, n in fill) else volume
