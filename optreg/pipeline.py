"""The stages of a registration, one after the other, on volumes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from optreg import continuous, discrete, features
from optreg.config import RegistrationConfig
from optreg.finish import finish, free_of_folds, volume_change
from optreg.inputs import Inputs
from optreg.kernels import Backend
from optreg.prepare import Volumes, prepare
from optreg.preprocess import Box
from optreg.result import Registration, Status
from optreg.storage import canonical_of, is_canonical, stored_of
from optreg.transform import DisplacementField

__all__ = ["Progress", "register_volumes"]

_log = logging.getLogger("optreg")

Progress = Callable[[str, float], None]
"""Called with a stage and the part of the whole that is done."""

_SAME_CONTRAST = 0.3
"""Correlation of the intensities above which two images count as one contrast."""

_SAME_VOLUME = 2.0
"""Factor by which a start changes volumes from which on it does more than move and deform."""

_SHARES = {"preprocess": 0.05, "discrete": 0.1, "features": 0.13, "refine": 0.9, "finish": 1.0}
"""Part of the whole that is done when a stage ends, for the progress."""


class _Clock:
    """Seconds per stage and the progress of the whole."""

    def __init__(self, progress: Progress | None, backend: Backend):
        self.seconds: dict[str, float] = {}
        self._wait = backend.synchronize
        self._report, self._from = progress, 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[float], None]]:
        low, high = self._from, _SHARES[name]

        def inside(fraction: float) -> None:
            if self._report is not None:
                self._report(name, low + fraction * (high - low))

        start = time.perf_counter()
        yield inside
        self._wait()
        self.seconds[name] = time.perf_counter() - start
        self._from = high
        inside(1.0)


def register_volumes(
    inputs: Inputs,
    config: RegistrationConfig,
    backend: Backend,
    progress: Progress | None = None,
) -> Registration:
    """Registration of volumes, with their axes in one order, from `inputs.start`."""
    if is_canonical(inputs):
        return _registered(inputs, config, backend, progress)
    return stored_of(_registered(canonical_of(inputs), config, backend, progress), inputs)


def _registered(
    inputs: Inputs,
    config: RegistrationConfig,
    backend: Backend,
    progress: Progress | None,
) -> Registration:
    """`register_volumes` where the order is right."""
    clock, still = _Clock(progress, backend), inputs.still_axes
    start, begin = (None, inputs.start) if _goes_on(inputs) else (inputs.start, None)
    with backend.active():
        with clock.stage("preprocess"):
            volumes = prepare(inputs, start, config, backend)
            box, regions = volumes.box, volumes.regions
        with clock.stage("discrete"):
            search = discrete.search(
                volumes.fixed, volumes.moving, config.discrete, backend, regions, still
            )
            if search is not None:
                volumes.warp_moving(search[0], backend)
        with clock.stage("features"):
            field = _solvable(begin, box, config, backend)
            chosen = _choose(config.similarity, volumes, field, backend)
            pairs = _features(volumes, chosen, config, backend)
            if "tissue" in chosen:
                _learn(pairs, volumes, still, field, chosen, config, backend)
        history: list[dict[str, Any]] = []
        with clock.stage("refine") as inside:
            *refined, finite = _refine(
                pairs, volumes.regions, still, field, chosen, config, backend, history, inside
            )
        del pairs, field, volumes, regions  # room for what follows
        with clock.stage("finish"):
            fields, repaired = finish(refined, search, start, box, config, backend, still)
        status = Status.CONVERGED if finite else Status.DIVERGED
        images, name = (inputs.fixed[0], inputs.moving[0]), "+".join(dict.fromkeys(chosen))
        result = Registration.assemble(
            *images, fields, status, history, config, name, repaired, backend
        )
    result.timings.update(clock.seconds)
    return result


def _goes_on(inputs: Inputs) -> bool:
    """Whether the start itself is refined, instead of what it warps the moving image to."""
    if not inputs.refine or inputs.start is None:
        return False
    # It would lose what it moves along axes that must not move.
    if any(inputs.start.disp[axis].any() for axis in inputs.still_axes):
        return False
    # Smoothing would even out scaling from the border of the box on.
    volume = volume_change(inputs.start)
    return 1 / _SAME_VOLUME < volume < _SAME_VOLUME


def _choose(wanted: str, volumes: Volumes, field: Any | None, backend: Backend) -> tuple[str, ...]:
    """Similarity of every channel."""
    if wanted != "auto":
        return (wanted,) * len(volumes.fixed)
    chosen = []
    for fixed, moving in zip(volumes.fixed, volumes.moving, strict=True):
        close = moving if field is None else backend.kernels.warp(moving, field)
        correlation = features.global_correlation(fixed, close, volumes.regions)
        chosen.append("lncc" if correlation > _SAME_CONTRAST else "tissue")
        _log.info("intensities correlate with %.2f: similarity %s", correlation, chosen[-1])
    return tuple(chosen)


def _features(
    volumes: Volumes, chosen: tuple[str, ...], config: RegistrationConfig, backend: Backend
) -> list[tuple[Any, Any]]:
    """Feature volumes of every channel."""
    return [
        features.channels(fixed, moving, similarity, config, backend, volumes.regions)
        for fixed, moving, similarity in zip(volumes.fixed, volumes.moving, chosen, strict=True)
    ]


def _learn(
    pairs: list[tuple[Any, Any]],
    volumes: Volumes,
    still_axes: tuple[int, ...],
    field: Any | None,
    chosen: tuple[str, ...],
    config: RegistrationConfig,
    backend: Backend,
) -> None:
    """Replace features by what images that nearly lie on each other say about two contrasts.

    They do so under the field that is gone on from, or after a rough registration; the features
    remain as they are where there is but one level, or where it goes astray.
    """
    settings = config.continuous.rough()
    if field is None and settings is not None:
        rough = replace(config, continuous=settings)
        field, _, finite = _refine(
            pairs, volumes.regions, still_axes, None, chosen, rough, backend, [], lambda part: None
        )
        for _ in range(settings.finest.bit_length() - 1):
            field = backend.kernels.upsample(field, 2.0)
        field = field if finite else None
    if field is None:
        return
    for number, similarity in enumerate(chosen):
        if similarity == "tissue":
            pairs[number] = None, None  # room for the new ones
            pairs[number] = features.channels(
                volumes.fixed[number],
                volumes.moving[number],
                similarity,
                config,
                backend,
                volumes.regions,
                field,
            )


def _solvable(
    begin: DisplacementField | None, box: Box, config: RegistrationConfig, backend: Backend
) -> Any | None:
    """Field to go on from in the box, free of folds: what folds has no inverse."""
    if begin is None:
        return None
    field = box.crop(backend.asarray(begin.disp), backend.xp)
    free_of_folds(field, backend.kernels.invert(field), config, backend)
    return field


def _refine(
    pairs: list[tuple[Any, Any]],
    regions: tuple[Any, Any],
    still_axes: tuple[int, ...],
    field: Any | None,
    chosen: tuple[str, ...],
    config: RegistrationConfig,
    backend: Backend,
    history: list[dict[str, Any]],
    progress: Callable[[float], None],
) -> tuple[Any, Any, bool]:
    settings, k = config.continuous, backend.kernels
    terms = continuous.plan(chosen, [len(fixed) for fixed, _ in pairs], settings)
    fixed, moving = (
        side[0] if len(side) == 1 else backend.xp.concatenate(side)
        for side in zip(*pairs, strict=True)
    )
    for _ in range(settings.finest.bit_length() - 1):
        fixed, moving = k.downsample(fixed), k.downsample(moving)
        there, back = (None if r is None else k.downsample(r) for r in regions)
        regions = there, back
        field = None if field is None else 0.5 * k.downsample(field)
    return continuous.refine(
        fixed, moving, terms, settings, backend, history, progress, field, regions, still_axes
    )
