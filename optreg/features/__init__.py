"""From images to the feature channels the refinement compares."""

from __future__ import annotations

from typing import Any

from optreg.config import RegistrationConfig
from optreg.features.shading import even_out
from optreg.features.tissue import class_centres, class_maps, global_correlation, match_classes
from optreg.kernels import Backend

__all__ = ["channels", "global_correlation"]

_MIDDLE, _BRIGHT = 1, 2


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

    Returns
    -------
    fixed_channels, moving_channels : (C, X, Y, Z) float32 array
        MIND-SSC: 12. Otherwise the intensity and the maps of the fixed image's middle and bright
        class: three maps sum to one, so the third would add nothing.
    """
    if similarity == "mind":
        search = config.discrete
        return tuple(
            backend.kernels.mind_ssc(v, search.mind_radius, search.mind_dilation)
            for v in (fixed, moving)
        )  # type: ignore[return-value]
    xp, sharpness = backend.xp, config.preprocess.sharpness
    even = even_out(fixed, backend), even_out(moving, backend)
    maps = [class_maps(v, sharpness, xp) for v in even]
    order: tuple[int, ...] = (0, 1, 2)
    if similarity == "tissue":
        order = match_classes(*maps)
        moving = _in_contrast_of(even[0], even[1], order, sharpness, xp)
    return (
        xp.stack([fixed, maps[0][_MIDDLE], maps[0][_BRIGHT]]),
        xp.stack([moving, maps[1][order[_MIDDLE]], maps[1][order[_BRIGHT]]]),
    )


def _in_contrast_of(
    fixed: Any, moving: Any, order: tuple[int, ...], sharpness: float, xp: Any
) -> Any:
    """Moving image with the fixed intensities: the mean of its class centres by membership."""
    # A softer transfer than the maps themselves, or the pseudo-intensity would be a step function.
    soft = class_maps(moving, min(sharpness, 2.0), xp)
    centres = class_centres(fixed, xp)
    pseudo = sum(float(c) * soft[j] for c, j in zip(centres, order, strict=True))
    return pseudo.astype(xp.float32)
