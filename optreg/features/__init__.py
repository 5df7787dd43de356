"""From images to the feature channels the refinement compares."""

from __future__ import annotations

from typing import Any

from optreg.config import RegistrationConfig
from optreg.features.tissue import class_channels, global_correlation
from optreg.kernels import Backend

__all__ = ["channels", "class_channels", "global_correlation"]


def channels(
    fixed: Any, moving: Any, similarity: str, config: RegistrationConfig, backend: Backend
) -> tuple[Any, Any]:
    """Feature volumes (C, X, Y, Z) of both images for a similarity.

    Parameters
    ----------
    fixed, moving : (X, Y, Z) float32 array
        Normalized intensities, background 0.
    similarity : {"lncc", "tissue", "mind"}
        Intensities and tissue maps of one contrast, of two, or MIND-SSC.
    """
    if similarity == "mind":
        search = config.discrete
        return tuple(
            backend.kernels.mind_ssc(v, search.mind_radius, search.mind_dilation)
            for v in (fixed, moving)
        )  # type: ignore[return-value]
    sharpness = config.preprocess.sharpness
    return class_channels(fixed, moving, sharpness, similarity == "lncc", backend.xp)
