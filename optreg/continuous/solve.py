"""Symmetric diffeomorphic refinement of two feature volumes.

Both images are warped to a midpoint, each by a half field of its own. An iteration warps, takes
the force of the similarity between the images, smooths it (fluid regularization), advances the
half fields by a bounded step in opposite directions (composition), evens out their volume change
and smooths them (diffusion). Half fields are smooth enough to be inverted, so both directions of
the whole transformation come out (Avants et al. 2008, doi 10.1016/j.media.2007.06.004).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from optreg.config import ContinuousConfig
from optreg.continuous.similarity import Similarity
from optreg.kernels import Backend
from optreg.pyramid import build_pyramid, coarse_to_fine

__all__ = ["bytes_per_iteration", "join_halves", "refine"]

_log = logging.getLogger("optreg")


def bytes_per_iteration(voxels: int, channels: int = 2) -> int:
    """Least memory traffic of one iteration, in bytes.

    Every float32 volume that a fused iteration has to touch is counted once: warping reads both
    images and half fields and writes the warped images (4 C + 6), the similarity reads those and
    writes the force (2 C + 3; later channels read and add to it, 6 each), force smoothing reads
    and writes it (6). For both halves, the step reads force and field and writes the field (18),
    volume regularization reads the field, writes log J, reads it and updates the field (22), and
    field smoothing reads and writes (12).
    """
    volumes = 4 * channels + 6 + 2 * channels + 3 + 6 * (channels - 1) + 6 + 18 + 22 + 12
    return 4 * voxels * volumes


class _Level:
    """Work space and iteration of one level; everything is allocated once."""

    def __init__(
        self, level: int, volumes: tuple[Any, ...], config: ContinuousConfig, backend: Backend
    ):
        xp = backend.xp
        self.k, self.config, self.level = backend.kernels, config, level
        self.fixed, self.moving = volumes
        shape = self.fixed.shape[1:]
        self.warped = [xp.empty_like(self.fixed), xp.empty_like(self.moving)]
        self.force = xp.empty((3, *shape), xp.float32)
        self.spare = xp.empty((3, *shape), xp.float32)
        self.work = xp.empty(shape, xp.float32)
        self.scale = 1.0
        self.first: float | None = None

    def iterate(self, fields: list[Any], similarity: Similarity) -> float:
        """Advance both half fields in place; the value of the similarity before the step."""
        for image, field, warped in zip(
            (self.fixed, self.moving), fields, self.warped, strict=True
        ):
            self.k.warp(image, field, warped)
        k, c, i = self.k, self.config, self.level
        value = similarity(k, self.warped, c.radius_vox[i], self.force)
        if self.first is None:
            self.first = value
        if value < self.first:
            self.scale *= 0.5  # worse than the start: the images agree, steps have to vanish
        smooth = k.gaussian_filter(self.force, c.force_sigma_vox[i], self.force, self.work)
        # In units of its own r.m.s. the step does not depend on how the similarity is scaled.
        tau = max(c.step_tau * k.root_mean_square(smooth), c.step_floor)
        # Opposite steps: separate forces would let both halves drift the same way, which changes
        # nothing between the images but bends the midpoint until it cannot be inverted.
        length = self.scale * c.step_vox[i]
        for field, step in zip(fields, (-length, length), strict=True):
            k.compose_step(smooth, step, tau, field, self.spare)
            if c.volume_weight[i]:
                # Before the Gaussian: central differences are blind to the shortest waves, which
                # this may leave behind and the Gaussian takes away.
                k.relax_volume(self.spare, c.volume_weight[i], self.work)
            k.gaussian_filter(self.spare, c.field_sigma_vox[i], field, self.work)
        return value


def refine(
    fixed: Any,
    moving: Any,
    similarity: Similarity,
    config: ContinuousConfig,
    backend: Backend,
    history: list[dict[str, Any]] | None = None,
    progress: Callable[[float], None] | None = None,
) -> tuple[Any, Any, bool]:
    """Half fields that bring both images to a midpoint.

    Parameters
    ----------
    fixed, moving : (C, X, Y, Z) float32 array
        Features; sizes divisible by ``2 ** (levels - 1)``.
    similarity : Similarity
        What is maximized.
    history : list, optional
        Receives one dict per iteration: stage, level (down-sampling factor), iteration, loss.
    progress : callable, optional
        Called with the finished share of the work, 0..1.

    Returns
    -------
    fixed_half, moving_half : (3, X, Y, Z) float32 array
        ``fixed(p + fixed_half(p))`` looks like ``moving(p + moving_half(p))``.
    finite : bool
        False if an iteration diverged; the fields are then those before it.
    """
    levels = len(config.iterations)
    pyramid = build_pyramid((fixed, moving), levels, backend)
    xp = backend.xp
    total = max(sum(n * 8**i for i, n in enumerate(config.iterations)), 1)
    done, finite = 0, True

    def solve(level: int, volumes: tuple[Any, ...], fields: tuple[Any, ...]) -> tuple[Any, ...]:
        nonlocal done, finite
        work = _Level(level, volumes, config, backend)
        halves = list(fields)
        for iteration in range(config.iterations[level] if finite else 0):
            value = work.iterate(halves, similarity)
            if history is not None:
                history.append(
                    {
                        "stage": "continuous",
                        "level": 2 ** (levels - 1 - level),
                        "iteration": iteration,
                        "loss": -value,
                    }
                )
            done += 8**level
            if progress is not None:
                progress(done / total)
        if not all(bool(xp.isfinite(h).all()) for h in halves):
            _log.warning("refinement diverged on level %d; the level before it is kept", level)
            finite = False
            return fields
        return tuple(halves)

    shape = pyramid[0][0].shape[1:]
    start = tuple(xp.zeros((3, *shape), xp.float32) for _ in range(2))
    fixed_half, moving_half = coarse_to_fine(pyramid, solve, start, backend)
    return fixed_half, moving_half, finite


def join_halves(fixed_half: Any, moving_half: Any, backend: Backend) -> tuple[Any, Any]:
    """Whole displacement from fixed to moving and its inverse, each (3, X, Y, Z) voxels.

    A fixed position goes to the midpoint by the inverse of the fixed half, from there to the
    moving image by the moving half; the inverse goes the same way back.
    """
    k = backend.kernels
    to_middle = k.invert(fixed_half)
    forward = k.compose(moving_half, to_middle)
    k.invert(moving_half, out=to_middle)
    return forward, k.compose(fixed_half, to_middle)
