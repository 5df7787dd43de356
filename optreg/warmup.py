"""Compile the kernels before a clock runs or a user waits without knowing why."""

from __future__ import annotations

import numpy as np

from optreg.config import RegistrationConfig
from optreg.registration import register

__all__ = ["warm_up"]


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
    axis = np.linspace(-2, 2, 48)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    pair = (
        np.maximum(1 - ((x + shift) ** 2 + y**2 + z**2) / 2, 0).astype(np.float32)
        for shift in (0.0, 0.05)
    )
    register(*pair, config=config, similarity=similarity, device=device, threads=threads)
