"""Compile the kernels before a clock runs or a user waits without knowing why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optreg.config import RegistrationConfig
from optreg.image import Image
from optreg.registration import register

__all__ = ["compile_everything", "warm_up"]

_LABEL_TYPES = (np.uint8, np.int16, np.int32, np.float32)
"""In which label maps are stored."""


def warm_up(
    config: RegistrationConfig | None = None,
    *,
    similarity: str | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Register a pair of small blobs, so that what a registration needs is loaded.

    The first registration on a machine compiles the kernels, in up to four processes, which takes
    less than a minute; later processes load them from disk in a second or two. Call this before
    measuring time. The search for an alignment is left out, and so is the discrete search unless
    the configuration demands it: most registrations need neither.

    Parameters
    ----------
    config : RegistrationConfig, optional
        What will be registered with; without it, the preset "default".
    similarity, device, threads
        As in `register`.

    Raises
    ------
    DeviceError
        The device is not there.
    """
    pair = _blobs()
    register(*pair, config=config, similarity=similarity, device=device, threads=threads)


def compile_everything(*, device: str = "auto") -> None:
    """Use all kernels once, those of rare settings too, so that none is left to compile.

    For images of containers, in which nothing can be kept later. It takes a few minutes.

    Parameters
    ----------
    device : str
        As in `register`.
    """
    from optreg.metrics import evaluate

    fixed, moving = _blobs()
    for similarity in ("lncc", "tissue", "mind"):
        warm_up(similarity=similarity, device=device)
    config = RegistrationConfig.preset("default")
    config = replace(config, discrete=replace(config.discrete, enabled="on"))
    result = register(fixed, moving, config=config, init="affine", device=device)
    for kind in _LABEL_TYPES:
        labels = np.round(3 * fixed).astype(kind)
        for interpolation in ("nearest", "label"):
            result.transform.apply(labels, interpolation)  # type: ignore[arg-type]
        evaluate(result, inverse=result.inverse, fixed_labels=labels, moving_labels=labels)
    grid = result.fixed.grid.downsample(2)
    result = register(result.fixed, Image(fixed[::2, ::2, ::2], grid), device=device)
    result.inverse_transform.apply(fixed)


def _blobs() -> tuple[np.ndarray, np.ndarray]:
    """Two small images that differ by a part of a voxel."""
    axis = np.linspace(-2, 2, 48)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    first, second = (
        np.maximum(1 - ((x + shift) ** 2 + y**2 + z**2) / 2, 0).astype(np.float32)
        for shift in (0.0, 0.05)
    )
    return first, second
