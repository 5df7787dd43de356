"""What the refinement maximizes: similarity of two warped feature volumes, and its force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optreg.config import ContinuousConfig
from optreg.continuous.region import Region, joint_weights
from optreg.kernels import Backend

__all__ = ["Objective", "Terms", "plan"]

_STRUCTURE_CHANNELS = (0, 2, 4, 6, 8, 10)
"""Half of the twelve MIND-SSC channels: each neighbour is in two pairs, the rest is redundant."""

_MIND_WEIGHT = 4.0
"""Lifts the force of MIND channels, which are alike in most places, above `step_floor`."""


@dataclass(frozen=True)
class Terms:
    """Weights of the terms on one level.

    Attributes
    ----------
    correlation : tuple of float
        Of the squared local correlation of each channel.
    difference : tuple of float
        Of the squared difference of each channel.
    structure : float
        Of the squared difference of MIND-SSC features of the intensities.
    structure_iterations : int
        How many of the last iterations have that term.
    intensities : tuple of int
        Which channels are intensities.
    """

    correlation: tuple[float, ...]
    difference: tuple[float, ...]
    structure: float = 0.0
    structure_iterations: int = 0
    intensities: tuple[int, ...] = (0,)

    @property
    def passes(self) -> int:
        """How many terms have a weight, the structure term aside."""
        return sum(map(bool, self.correlation + self.difference))

    @property
    def channels(self) -> int:
        """How many channels, counted from the first, have a weight."""
        weighed = zip(self.correlation, self.difference, strict=True)
        return max((c for c, pair in enumerate(weighed, start=1) if any(pair)), default=0)


def plan(
    similarities: Sequence[str], channels: Sequence[int], config: ContinuousConfig
) -> list[Terms]:
    """Terms of every level, coarse to fine, for one pair of images or several that move as one.

    Parameters
    ----------
    similarities : sequence of {"lncc", "tissue", "mind"}
        Of each pair of images, see `RegistrationConfig`.
    channels : sequence of int
        Of the feature volumes of each: twelve of MIND, else the intensity and at least one tissue
        map.
    """
    parts = [_plan(s, c, config) for s, c in zip(similarities, channels, strict=True)]
    first = [sum(channels[:i]) for i in range(len(channels))]
    share = 1.0 / len(parts)
    joined = []
    for level in zip(*parts, strict=True):
        correlation = tuple(share * c for terms in level for c in terms.correlation)
        difference = tuple(share * d for terms in level for d in terms.difference)
        # MIND has no structure term besides itself.
        described = [t.structure > 0 for t in level]
        joined.append(
            Terms(
                correlation,
                difference,
                share * max(t.structure for t in level),
                max(t.structure_iterations for t in level),
                tuple(f for f, wanted in zip(first, described, strict=True) if wanted),
            )
        )
    return joined


def _plan(similarity: str, channels: int, config: ContinuousConfig) -> list[Terms]:
    """Terms of every level for one pair of images."""
    levels = len(config.iterations)
    if similarity == "mind":
        return [Terms((0.0,) * channels, (_MIND_WEIGHT,) * channels)] * levels
    terms = []
    for level in range(levels):
        # Channel 0 is the intensity, the others are tissue maps. Correlation finds the way to
        # corresponding tissue however thick it is; the nearer it is, the more the difference of
        # the maps helps to draw its borders onto each other.
        maps, weight = channels - 1, config.tissue_difference[level]
        middle = config.tissue_correlation[level]
        if similarity == "tissue":
            # What one contrast tells about intensities in the other is poorer than its tissues.
            middle = max(config.tissue_correlation)
            if level < levels - 1:
                weight = 0.0  # maps from two contrasts are not alike enough for it from afar
        correlation = (1.0, middle, *[0.0] * (maps - 1))
        difference = (0.0, *[weight] * maps)
        structure = config.structure_weight[level], config.structure_iterations[level]
        terms.append(Terms(correlation, difference, *structure))
    return terms


class Objective:
    """The similarity of one pair of volumes on one level, with all work space.

    Parameters
    ----------
    fixed, moving : (C, X, Y, Z) float32 array
        Features.
    terms : Terms
        What counts.
    level : int
        Which entry of the tuples of the configuration.
    regions : pair of Region or None
        How much the voxels of either image count; they move with their images.
    """

    def __init__(
        self,
        fixed: Any,
        moving: Any,
        terms: Terms,
        level: int,
        config: ContinuousConfig,
        backend: Backend,
        regions: tuple[Region | None, Region | None] = (None, None),
    ):
        xp, self._k = backend.xp, backend.kernels
        self._images, self._terms = (fixed, moving), terms
        self._radius, self._eps = config.radius_vox[level], config.eps
        self._stride = config.window_stride[level]
        # One channel is warped at a time: many would take more memory, and no less work.
        self._warped = [xp.empty_like(fixed[0]), xp.empty_like(moving[0])]
        self._structure: list[tuple[Any, Any]] = []
        if terms.structure > 0 and terms.structure_iterations > 0:
            for c in terms.intensities:
                described = self._features(fixed[c]), self._features(moving[c])
                self._structure += zip(*described, strict=True)
        self._regions = regions

    def _features(self, volume: Any) -> Any:
        features = self._k.mind_ssc(volume, 1, 1, _STRUCTURE_CHANNELS)
        features *= volume > 0
        return features

    def __call__(self, fields: tuple[Any, ...], force: Any, structured: bool) -> Any:
        """Value and force at half fields (fixed, moving), or at one field of the moving image.

        Parameters
        ----------
        fields : tuple of (3, X, Y, Z) array
            Displacements in voxels. Of one, the fixed image stays where it is.
        force : (3, X, Y, Z) array
            Result: direction of ascent for the displacement of `moving` against `fixed`.
        structured : bool
            With the structure term, if there is one.

        Returns
        -------
        float or array without axes
            Mean over the voxels, without the structure term: it is comparable within a level.
        """
        terms, add, total = self._terms, False, 0.0
        region = joint_weights(self._regions, fields)
        channels = zip(*self._images, terms.correlation, terms.difference, strict=True)
        for fixed, moving, correlation, difference in channels:
            if correlation or difference:
                pair = self._warp(fixed, moving, fields)
            if correlation:
                settings = self._radius, self._eps, force, correlation, add, self._stride
                total += correlation * self._k.lncc(*pair, *settings, region)
                add = True
            if difference:
                total -= difference * self._k.ssd(*pair, force, difference, add, region)
                add = True
        if structured:
            for fixed, moving in self._structure:
                pair = self._warp(fixed, moving, fields)
                self._k.ssd(*pair, force, terms.structure, True, region)
        return total / (sum(terms.correlation) or 1.0)

    def _warp(self, fixed: Any, moving: Any, fields: tuple[Any, ...]) -> tuple[Any, Any]:
        """One channel of both images at the fields."""
        moving = self._k.warp(moving, fields[-1], self._warped[1])
        if len(fields) == 2:
            fixed = self._k.warp(fixed, fields[0], self._warped[0])
        return fixed, moving
