"""`register`: the whole pipeline on one screen."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from optreg import continuous, discrete, features
from optreg.config import RegistrationConfig
from optreg.errors import DeviceMemoryError
from optreg.finish import finish, free_of_folds
from optreg.inputs import ImageLike, Images, Initial, Inputs, read_inputs, read_start
from optreg.kernels import Backend, get_backends, thread_limit
from optreg.prepare import Volumes, prepare
from optreg.preprocess import Box
from optreg.result import Registration, Status
from optreg.slices import is_slice, slice_of, volumes_of
from optreg.storage import canonical_of, is_canonical, stored_of
from optreg.thick import is_thick, thick_of, thin_of
from optreg.transform import DisplacementField

__all__ = ["register"]

_log = logging.getLogger("optreg")

_SAME_CONTRAST = 0.3
"""Correlation of the intensities above which two images count as one contrast."""

_SHARES = {"preprocess": 0.05, "discrete": 0.1, "features": 0.13, "refine": 0.9, "finish": 1.0}
"""Part of the whole that is done when a stage ends, for the progress."""


class _Clock:
    """Seconds per stage and the progress of the whole."""

    def __init__(self, progress: Callable[[str, float], None] | None, backend: Backend):
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


def register(
    fixed: Images,
    moving: Images,
    *,
    preset: str = "default",
    config: RegistrationConfig | None = None,
    similarity: str | None = None,
    init: Initial | None = None,
    refine: bool = False,
    fixed_mask: ImageLike | None = None,
    moving_mask: ImageLike | None = None,
    weights: ImageLike | None = None,
    axes: str = "ijk",
    device: str = "auto",
    threads: int | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Registration:
    """Find the diffeomorphic displacement that brings `moving` onto `fixed`.

    Parameters
    ----------
    fixed, moving : Image, (X, Y, Z) ndarray or path, or a list of them
        Images in one world; `moving` is resampled to the grid of `fixed` where they differ.
        Arrays have 1 mm voxels and the same origin. Zero is background. Lists are channels, such
        as T1w and T2w of one person, in the same order in both: all take part equally, and the
        grid and the result are those of the first. A volume of one slice, (X, Y, 1), or a
        two-dimensional array is deformed in its plane.
    preset : {"fast", "default", "accurate"}
        Which of the tuned configurations; ignored where `config` is given.
    config : RegistrationConfig, optional
        All parameters.
    similarity : {"auto", "lncc", "tissue", "mind"}, optional
        Overrides that of the configuration.
    init : DisplacementField, Affine, (3, X, Y, Z) ndarray, path or str; optional
        Where to start: a transform from the fixed to the moving image (another tool's or a
        network's field), or what to find one with: "affine", "similarity", "rigid", "translation"
        (`optreg.affine.align`), "moments" (centres of mass and extents), or SimpleITK's search
        ("sitk-affine" and so on). The moving image is warped by it and registration starts from
        there.
    refine : bool
        Go on from the field `init` itself instead, at full resolution only: for one that is nearly
        right. What it has found already is then not looked for anew.
    fixed_mask, moving_mask : Image, ndarray or path, optional
        Where the image counts (> 0), on any grid of its world. The rest is not compared, for it
        has no counterpart: a lesion, what another field of view does not show. The displacement
        there follows from what is around it.
    weights : Image, ndarray or path, optional
        How much each place of the fixed image counts, 0 or more, relative to the largest.
    axes : str
        Array axes of `fixed` along which the deformation may go: of "i", "j", "k", as "j" for
        the distortion of echo-planar images along their phase encoding. `init` is free.
    device : str
        "cpu", "cuda" (the first GPU), "cuda:N", or "auto": the GPU if there is one that works and
        has enough memory, else the CPU.
    threads : int, optional
        CPU threads; all by default. The result does not depend on it.
    progress : callable, optional
        Called as ``progress(stage, fraction of the whole)``.

    Returns
    -------
    Registration
        Displacement, inverse, warped image, and how they came about.

    Raises
    ------
    InputError
        An image or the start cannot be used.
    GeometryError
        The images do not overlap in the world.
    ConfigError
        A parameter is out of range.
    DeviceError
        The device is not there, or its memory is too small.
    """
    config = config or RegistrationConfig.preset(preset)
    if similarity is not None:
        config = replace(config, similarity=similarity)
    inputs = read_inputs(
        fixed,
        moving,
        init=init,
        refine=refine,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        weights=weights,
        axes=axes,
    )
    if refine:
        config = config.refinement()
    *others, last = get_backends(device)
    with thread_limit(threads):
        for backend in others:
            try:
                return _on_device(inputs, config, backend, progress)
            except DeviceMemoryError as error:
                _log.warning("%s: trying the next device", error)
        return _on_device(inputs, config, last, progress)


def _on_device(
    inputs: Inputs,
    config: RegistrationConfig,
    backend: Backend,
    progress: Callable[[str, float], None] | None,
) -> Registration:
    """`register` on one device, of volumes, single slices, or volumes of thick slices."""
    start = time.perf_counter()
    if is_slice(inputs):
        volumes = volumes_of(inputs, config, backend)
        result = slice_of(_in_order(volumes, config, backend, progress), inputs)
    elif is_thick(inputs):
        with backend.active():
            volumes = thin_of(inputs, backend)
        result = _in_order(volumes, config, backend, progress)
        result = thick_of(result, inputs, config, backend)
    else:
        result = _in_order(inputs, config, backend, progress)
    result.timings["total"] = time.perf_counter() - start
    return result


def _in_order(
    inputs: Inputs,
    config: RegistrationConfig,
    backend: Backend,
    progress: Callable[[str, float], None] | None,
) -> Registration:
    """Registration of volumes with their axes in one order."""
    if is_canonical(inputs):
        return _registered(inputs, config, backend, progress)
    with backend.active():
        reordered = canonical_of(inputs, backend)
    return stored_of(_registered(reordered, config, backend, progress), inputs)


def _registered(
    inputs: Inputs,
    config: RegistrationConfig,
    backend: Backend,
    progress: Callable[[str, float], None] | None,
) -> Registration:
    """Registration of volumes."""
    clock, still = _Clock(progress, backend), inputs.still_axes
    with backend.active():
        with clock.stage("preprocess"):
            start, begin = read_start(inputs, backend), None
            if inputs.refine:
                start, begin = None, start
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
