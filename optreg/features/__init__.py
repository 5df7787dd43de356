"""From images to the feature channels the refinement compares."""

from __future__ import annotations

from typing import Any

from optreg.config import RegistrationConfig
from optreg.features.contrast import predicted
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
_PREDICTABLE = 0.5
"""Sharpness of the fixed maps that the moving image predicts, of what it is otherwise: what it
cannot tell apart is not worth comparing."""
_KNOWN = 0.99
"""Part of a moving voxel that must count."""


def channels(
    fixed: Any,
    moving: Any,
    similarity: str,
    config: RegistrationConfig,
    backend: Backend,
    regions: tuple[Any, Any] = (None, None),
    near: Any | None = None,
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
    near : (3, X, Y, Z) float32 array, optional
        Displacement by which the moving image nearly lies on the fixed one. With it, the features
        of the fixed image are predicted from the moving one instead of matching their classes.

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
    if similarity == "tissue" and near is not None:
        centres = class_centres(counted[0], backend)
        maps = class_maps(even[0], centres, _PREDICTABLE * sharpness, xp)
        ours = xp.stack([even[0], maps[_MIDDLE], maps[_BRIGHT]])
        theirs = predicted(
            even[1], ours, _met(counted[0], regions[1], near, backend), near, backend
        )
        ours[0] = fixed
        return ours, theirs
    if similarity == "lncc":
        pair = paired_centres(counted[0], counted[1], backend)
    else:
        pair = class_centres(counted[0], backend), class_centres(counted[1], backend)
    maps = [class_maps(v, c, sharpness, xp) for v, c in zip(even, pair, strict=True)]
    order = [0, 1, 2]
    if similarity == "tissue":
        order = list(match_classes(*(_seen(m, r) for m, r in zip(maps, regions, strict=True))))
        # The moving image in the contrast of the fixed one: the mean of its centres by membership.
        membership = posterior_table(pair[1], min(sharpness, _SOFT))[order]
        moving = lookup(even[1], pair[0] @ membership, xp)
    return (
        xp.stack([fixed, maps[0][_MIDDLE], maps[0][_BRIGHT]]),
        xp.stack([moving, maps[1][order[_MIDDLE]], maps[1][order[_BRIGHT]]]),
    )


def _met(counted: Any, region: Any | None, near: Any, backend: Backend) -> Any:
    """(X, Y, Z) bool: fixed foreground that meets what counts of the moving image."""
    both = counted > 0
    if region is not None:
        both &= backend.kernels.warp(region, near) > _KNOWN
    return both


def _seen(volume: Any, region: Any | None) -> Any:
    """Volume (..., X, Y, Z) with background where the region is 0."""
    return volume if region is None else volume * (region > 0)
