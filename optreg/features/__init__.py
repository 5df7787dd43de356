"""From images to the feature channels the refinement compares."""

from __future__ import annotations

from typing import Any

from optreg.config import RegistrationConfig
from optreg.features.shading import even_out
from optreg.features.tissue import (
    class_centres,
    class_maps,
    global_correlation,
    lookup,
    match_classes,
    paired_centres,
    posterior_table,
)
from optreg.kernels import Backend

__all__ = ["channels", "global_correlation"]

_MIDDLE, _BRIGHT = 1, 2
_SOFT = 2.0
"""Sharpness at most of the memberships that carry an intensity over to the other contrast: with
those of the maps it would be a step function."""


def channels(
    fixed: Any,
    moving: Any,
    similarity: str,
    config: RegistrationConfig,
    backend: Backend,
    regions: tuple[Any, Any] = (None, None),
) -> tuple[Any, Any]:
    """Feature volumes (C, X, Y, Z) of both images for a similarity.

    Parameters
    ----------
    fixed, moving : (X, Y, Z) float32 array
        Normalized intensities, background 0.
    similarity : {"lncc", "tissue", "mind"}
        Intensities and tissue maps of one contrast, of two, or MIND-SSC.
    regions : pair of (X, Y, Z) array or None
        Where they are 0, an image says nothing about what its tissues look like.

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
    seen = [_seen(v, r) for v, r in zip((fixed, moving), regions, strict=True)]
    even = [even_out(v, s, backend) for v, s in zip((fixed, moving), seen, strict=True)]
    counted = [_seen(v, r) for v, r in zip(even, regions, strict=True)]
    if similarity == "lncc":
        centres = paired_centres(counted[0], counted[1], xp)
    else:
        centres = class_centres(counted[0], xp), class_centres(counted[1], xp)
    maps = [class_maps(v, c, sharpness, xp) for v, c in zip(even, centres, strict=True)]
    order = [0, 1, 2]
    if similarity == "tissue":
        order = list(match_classes(*(_seen(m, r) for m, r in zip(maps, regions, strict=True))))
        # The moving image in the contrast of the fixed one: the mean of its centres by membership.
        membership = posterior_table(centres[1], min(sharpness, _SOFT))[order]
        moving = lookup(even[1], centres[0] @ membership, xp)
    return (
        xp.stack([fixed, maps[0][_MIDDLE], maps[0][_BRIGHT]]),
        xp.stack([moving, maps[1][order[_MIDDLE]], maps[1][order[_BRIGHT]]]),
    )


def _seen(volume: Any, region: Any | None) -> Any:
    """Volume (..., X, Y, Z) with background where the region is 0."""
    return volume if region is None else volume * (region > 0)
