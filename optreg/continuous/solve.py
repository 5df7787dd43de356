"""Diffeomorphic refinement of two feature volumes, coarse to fine.

On the coarse levels both images are warped to a midpoint, each by a half field of its own
(Avants et al. 2008, doi 10.1016/j.media.2007.06.004): neither image is preferred while the large
deformations are found. On the finest level the halves are joined and only the moving image is
warped: the fixed one stays sharp, and what is compared is what is exported.

An iteration warps, takes the force of the similarity between the images, smooths it (fluid
regularization), advances the fields by a bounded step (composition; half fields in opposite
directions), evens out their volume change and smooths them (diffusion). All fields are smooth
enough to be inverted, so both directions of the whole transformation come out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from optreg.config import ContinuousConfig
from optreg.continuous.level import Level
from optreg.continuous.region import build_regions
from optreg.continuous.similarity import Terms
from optreg.kernels import Backend
from optreg.pyramid import build_pyramid, coarse_to_fine

__all__ = ["bytes_needed", "bytes_per_iteration", "join_halves", "refine"]

_log = logging.getLogger("optreg")


def bytes_per_iteration(voxels: int, channels: int, passes: int, fields: int = 2) -> int:
    """Least memory traffic of one iteration without a structure term, in bytes.

    Every float32 volume that a fused iteration has to touch is counted once. For each of the one
    or two fields, warping reads image and field and writes the warped image (2 C + 3), the step
    reads force and field and writes the field (9), volume regularization reads the field, writes
    log J, reads it and updates the field (11), field smoothing reads and writes (6). Once, the
    similarity reads both images and writes the force (5; each of the passes that follow reads it
    as well, 8), and force smoothing reads and writes it (6).
    """
    each = 2 * channels + 3 + 9 + 11 + 6
    once = 5 + 8 * (passes - 1) + 6
    return 4 * voxels * (fields * each + once)


def bytes_needed(voxels: int, channels: int, regions: int = 0) -> int:
    """Memory of a whole refinement that ends with so many voxels, in bytes.

    Float32 volumes: both images at all resolutions, on the last level one warped channel of each,
    force, spare and two copies of one field (12), log J, and the work space of the similarity (at
    most 15 for windows at every voxel) beside that of a filter (2). Each of the weights of the two
    images is there at all resolutions twice, for what is known and how much it counts, and both
    warped; windows have one sum more then. Earlier levels take less.
    """
    weights = 4 * regions * 8 / 7 + min(regions, 1)
    return 4 * int(voxels * (2 * channels * 8 / 7 + 2 + 12 + 1 + 17 + weights))


def refine(
    fixed: Any,
    moving: Any,
    terms: list[Terms],
    config: ContinuousConfig,
    backend: Backend,
    history: list[dict[str, Any]] | None = None,
    progress: Callable[[float], None] | None = None,
    start: Any | None = None,
    regions: tuple[Any, Any] = (None, None),
    still_axes: tuple[int, ...] = (),
) -> tuple[Any, Any, bool]:
    """Displacement that brings `moving` onto `fixed`, and its inverse.

    Parameters
    ----------
    fixed, moving : (C, X, Y, Z) float32 array
        Features; sizes divisible by ``2 ** (levels - 1)``.
    terms : list of Terms
        What is maximized on each level, from `plan`.
    history : list, optional
        Receives one dict per iteration: stage, level (down-sampling factor), iteration, loss.
    progress : callable, optional
        Called with the finished share of the work, 0..1.
    start : (3, X, Y, Z) float32 array, optional
        Displacement to go on from, in voxels; for a configuration with one one-sided level. It is
        changed in place.
    regions : pair of (X, Y, Z) float32 array or None
        How much the voxels of the fixed and of the moving image count in the similarity, 0..1.
        Where nothing counts, the field follows from what is around it.
    still_axes : tuple of int
        Array axes along which nothing is displaced.

    Returns
    -------
    forward, inverse : (3, X, Y, Z) float32 array
        In voxels: ``fixed(x)`` looks like ``moving(x + forward(x))``.
    finite : bool
        False if an iteration diverged; the fields are then those of the level before.
    """
    levels = len(config.iterations)
    weighted = sum(r is not None for r in regions)
    backend.require(bytes_needed(fixed[0].size, len(fixed), weighted))
    pyramid = build_pyramid((fixed, moving), levels, backend)
    there, back = (build_regions(r, levels, backend) for r in regions)
    xp, k = backend.xp, backend.kernels
    total = max(sum(n * 8**i for i, n in enumerate(config.iterations)), 1)
    done, finite = 0, True
    coarser: tuple[Any, ...] = ()

    def solve(level: int, volumes: Any, fields: tuple[Any, ...]) -> tuple[Any, ...]:
        nonlocal done, finite, coarser
        if not (finite and config.iterations[level]):
            coarser = joined(level, fields)
            return coarser
        counted = there[level], back[level]
        work = Level(level, volumes, fields, terms[level], config, backend, counted, still_axes)
        for _ in work.run():
            done += 8**level
            if progress is not None:
                progress(done / total)
        if history is not None:
            factor = 2 ** (levels - 1 - level)
            for iteration, value in enumerate(backend.asnumpy(work.values)):
                entry = {"level": factor, "iteration": iteration, "loss": -float(value)}
                history.append({"stage": "continuous", **entry})
        if not all(bool(xp.isfinite(f).all()) for f in fields):
            _log.warning("refinement diverged on level %d; the level before it is kept", level)
            finite = False
            # The fields have been changed in place: what they were comes from the coarser ones.
            undone = [k.upsample(f, 2.0) for f in coarser] or [xp.zeros_like(f) for f in fields]
            return joined(level, tuple(undone))
        coarser = joined(level, fields)
        return coarser

    def joined(level: int, fields: tuple[Any, ...]) -> tuple[Any, ...]:
        """The whole field instead of its halves where the next level is the one-sided one."""
        join = config.one_sided_finest and level == levels - 2
        return (_whole(fields[0], fields[1], backend),) if join else fields

    shape = pyramid[0][0].shape[1:]
    count = 1 if config.one_sided_finest and levels == 1 else 2
    begin = tuple(xp.zeros((3, *shape), xp.float32) for _ in range(count))
    fields = coarse_to_fine(pyramid, solve, begin if start is None else (start,), backend)
    if len(fields) == 1:
        return fields[0], k.invert(fields[0]), finite
    return *join_halves(fields[0], fields[1], backend), finite


def _whole(fixed_half: Any, moving_half: Any, backend: Backend) -> Any:
    k = backend.kernels
    return k.compose(moving_half, k.invert(fixed_half))


def join_halves(fixed_half: Any, moving_half: Any, backend: Backend) -> tuple[Any, Any]:
    """Whole displacement from fixed to moving and its inverse, each (3, X, Y, Z) voxels.

    A fixed position goes to the midpoint by the inverse of the fixed half, from there to the
    moving image by the moving half; the inverse goes the same way back.
    """
    return _whole(fixed_half, moving_half, backend), _whole(moving_half, fixed_half, backend)
