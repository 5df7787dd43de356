"""`register`: the whole pipeline on one screen."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from optreg import continuous, discrete, features
from optreg.config import RegistrationConfig
from optreg.continuous.repair import repair_pair, tighten_inverse
from optreg.errors import ConfigError, DeviceMemoryError, GeometryError, InputError
from optreg.image import Image
from optreg.kernels import Backend, get_backends, thread_limit
from optreg.preprocess import Box, check_content, foreground_box, normalize, onto_fixed_grid
from optreg.result import Registration, Status
from optreg.transform import Affine, DisplacementField

__all__ = ["register"]

_log = logging.getLogger("optreg")
ImageLike = Union[Image, NDArray[Any], str, "os.PathLike[str]"]
Initial = Union[DisplacementField, Affine, NDArray[Any], str, "os.PathLike[str]"]

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
        self._start = time.perf_counter()

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

    def finish(self) -> dict[str, float]:
        self.seconds["total"] = time.perf_counter() - self._start
        return self.seconds


def register(
    fixed: ImageLike,
    moving: ImageLike,
    *,
    preset: str = "default",
    config: RegistrationConfig | None = None,
    similarity: str | None = None,
    init: Initial | None = None,
    refine: bool = False,
    fixed_mask: ImageLike | None = None,
    device: str = "auto",
    threads: int | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Registration:
    """Find the diffeomorphic displacement that brings `moving` onto `fixed`.

    Parameters
    ----------
    fixed, moving : Image, (X, Y, Z) ndarray or path
        Images in one world; `moving` is resampled to the grid of `fixed` where they differ.
        Arrays have 1 mm voxels and the same origin. Zero is background.
    preset : {"fast", "default", "accurate"}
        Which of the tuned configurations; ignored where `config` is given.
    config : RegistrationConfig, optional
        All parameters.
    similarity : {"auto", "lncc", "tissue", "mind"}, optional
        Overrides that of the configuration.
    init : DisplacementField, Affine, (3, X, Y, Z) ndarray, path or str; optional
        Where to start: a transform from the fixed to the moving image (another tool's or a
        network's field), or what to find one with: "affine", "similarity", "rigid", "translation"
        (`optreg.affine.align`), or "moments" (centres of mass and extents). The moving image is
        warped by it and registration starts from there.
    refine : bool
        Go on from the field `init` itself instead, at full resolution only: for one that is nearly
        right. What it has found already is then not looked for anew.
    fixed_mask : Image, ndarray or path, optional
        Voxels of the fixed image (> 0) that are registered; the rest counts as background.
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
        config = RegistrationConfig.from_dict({**config.to_dict(), "similarity": similarity})
    fixed, moving = as_image(fixed, "fixed"), as_image(moving, "moving")
    mask = None if fixed_mask is None else as_image(fixed_mask, "fixed_mask")
    if refine and init is None:
        raise ConfigError("refine: needs a field to go on from; give init")
    if refine:
        config = config.refinement()
    *others, last = get_backends(device)
    with thread_limit(threads):
        for backend in others:
            try:
                return _registered(fixed, moving, init, refine, mask, config, backend, progress)
            except DeviceMemoryError as error:
                _log.warning("%s: trying the next device", error)
        return _registered(fixed, moving, init, refine, mask, config, last, progress)


def _registered(
    fixed: Image,
    moving: Image,
    init: Initial | None,
    refine: bool,
    mask: Image | None,
    config: RegistrationConfig,
    backend: Backend,
    progress: Callable[[str, float], None] | None,
) -> Registration:
    """`register` on one device."""
    clock = _Clock(progress, backend)
    with backend.active():
        with clock.stage("preprocess"):
            check_content(fixed, "fixed")
            check_content(moving, "moving")
            start, begin = _initial(init, fixed, moving, backend), None
            if refine:
                start, begin = None, start
            fixed_cut, moving_cut, box = _prepare(fixed, moving, start, mask, config, backend)
        with clock.stage("discrete"):
            search = discrete.search(fixed_cut, moving_cut, config.discrete, backend)
            searched = moving_cut if search is None else backend.kernels.warp(moving_cut, search[0])
        with clock.stage("features"):
            field = _solvable(begin, box, config, backend)
            close = searched if field is None else backend.kernels.warp(searched, field)
            chosen = _choose(config.similarity, fixed_cut, close)
            pair = features.channels(fixed_cut, searched, chosen, config, backend)
        history: list[dict[str, Any]] = []
        with clock.stage("refine") as inside:
            *refined, finite = _refine(pair, field, chosen, config, backend, history, inside)
        del pair, field, close, fixed_cut, moving_cut, searched  # room for what follows
        with clock.stage("finish"):
            fields, repaired = _finish(refined, search, start, box, config, backend)
        status = Status.CONVERGED if finite else Status.DIVERGED
        result = Registration.assemble(
            fixed, moving, fields, status, history, config, chosen, repaired, backend
        )
    result.timings.update(clock.finish())
    return result


def as_image(source: ImageLike, role: str) -> Image:
    """Image of whatever `register` accepts."""
    if isinstance(source, Image):
        return source
    if isinstance(source, (str, os.PathLike)):
        from optreg.io import load_image

        return load_image(Path(source))
    return Image.from_array(np.asarray(source), role)


def _initial(
    init: Initial | None, fixed: Image, moving: Image, backend: Backend
) -> DisplacementField | None:
    """The start as a field on the fixed grid."""
    if init is None:
        return None
    if isinstance(init, DisplacementField):
        field = init
    elif isinstance(init, Affine):
        field = init.to_displacement(fixed.grid)
    elif isinstance(init, (str, os.PathLike)):
        from optreg import affine

        if str(init) in affine.MODELS:
            found = affine.align(fixed, moving, model=str(init), backend=backend)
            field = found.to_displacement(fixed.grid)
        else:
            from optreg.io import read_field

            field = read_field(Path(init), fixed.grid)
    else:
        field = DisplacementField(np.asarray(init), fixed.grid)
    if not field.fixed_grid.same_as(fixed.grid):
        raise GeometryError("init is not on the grid of the fixed image; resample it first")
    return DisplacementField(field.disp, fixed.grid)


def _prepare(
    fixed: Image,
    moving: Image,
    start: DisplacementField | None,
    mask: Image | None,
    config: RegistrationConfig,
    backend: Backend,
) -> tuple[Any, Any, Box]:
    """Normalized volumes of both images on the box around their foregrounds."""
    if start is None:
        onto = onto_fixed_grid(fixed, moving)
    else:
        from optreg.affine import resample_foreground

        onto = resample_foreground(moving, start)
    if not np.any(onto.data):
        raise InputError(f"{moving.name or 'moving'}: no foreground on the grid of the fixed image")
    xp = backend.xp
    arrays = [backend.asarray(image.data) for image in (fixed, onto)]
    volumes = [normalize(a, config.preprocess, xp) for a in arrays]
    if mask is not None:
        keep = backend.asarray(onto_fixed_grid(fixed, mask).data > 0)
        if not bool((keep & (volumes[0] > 0)).any()):
            raise InputError("fixed_mask: covers no foreground of the fixed image")
        volumes[0] = volumes[0] * keep
    levels = len(config.continuous.iterations)
    # Both are powers of two.
    multiple = max(config.continuous.finest * 2 ** (levels - 1), config.discrete.grid_vox)
    box = foreground_box(volumes[0], volumes[1], config.preprocess.margin_vox, multiple, xp)
    fixed_cut, moving_cut = (box.crop(v, xp) for v in volumes)
    return fixed_cut, moving_cut, box


def _choose(wanted: str, fixed: Any, moving: Any) -> str:
    if wanted != "auto":
        return wanted
    correlation = features.global_correlation(fixed, moving)
    chosen = "lncc" if correlation > _SAME_CONTRAST else "tissue"
    _log.info("intensities correlate with %.2f: similarity %s", correlation, chosen)
    return chosen


def _solvable(
    begin: DisplacementField | None, box: Box, config: RegistrationConfig, backend: Backend
) -> Any | None:
    """Field to go on from in the box, free of folds: what folds has no inverse."""
    if begin is None:
        return None
    field = box.crop(backend.asarray(begin.disp), backend.xp)
    _free_of_folds(field, backend.kernels.invert(field), config, backend)
    return field


def _refine(
    pair: tuple[Any, Any],
    field: Any | None,
    chosen: str,
    config: RegistrationConfig,
    backend: Backend,
    history: list[dict[str, Any]],
    progress: Callable[[float], None],
) -> tuple[Any, Any, bool]:
    settings = config.continuous
    k = backend.kernels
    for _ in range(settings.finest.bit_length() - 1):
        pair = (k.downsample(pair[0]), k.downsample(pair[1]))
        field = None if field is None else 0.5 * k.downsample(field)
    terms = continuous.plan(chosen, len(pair[0]), settings)
    return continuous.refine(*pair, terms, settings, backend, history, progress, field)


def _finish(
    fields: list[Any],
    search: tuple[Any, Any] | None,
    start: DisplacementField | None,
    box: Box,
    config: RegistrationConfig,
    backend: Backend,
) -> tuple[tuple[Any, Any], int]:
    """Displacement and inverse on the full grid, free of folds, as they will be exported."""
    k = backend.kernels
    inverse, forward = fields.pop(), fields.pop()  # so that nobody else holds them
    for _ in range(config.continuous.finest.bit_length() - 1):
        forward, inverse = k.upsample(forward, 2.0), k.upsample(inverse, 2.0)
    if search is not None:
        forward, inverse = k.compose(search[0], forward), k.compose(inverse, search[1])
    repaired = 0
    if start is None:
        repaired = _free_of_folds(forward, inverse, config, backend)
    forward, inverse = (box.paste(f, backend.xp) for f in (forward, inverse))
    if start is not None:
        begin, end = (backend.asarray(s.disp) for s in (start, start.invert()))
        forward, inverse = k.compose(begin, forward), k.compose(inverse, end)
    if start is not None or any(_folds_at_rim(f, box, backend) for f in (forward, inverse)):
        repaired += _free_of_folds(forward, inverse, config, backend)
    return (forward, inverse), repaired


def _free_of_folds(forward: Any, inverse: Any, config: RegistrationConfig, backend: Backend) -> int:
    repaired = repair_pair(forward, inverse, config.repair, backend)
    for _ in range(config.repair.tighten_rounds):
        tighten_inverse(forward, inverse, config.repair, backend)
    return repaired


def _folds_at_rim(disp: Any, box: Box, backend: Backend) -> bool:
    """Whether a pasted field folds where the box ends: inside it is known not to."""
    xp, k = backend.xp, backend.kernels
    for axis, (part, size) in enumerate(zip(box.slices, disp.shape[1:], strict=True), start=1):
        for end in (part.start, part.stop):
            slab = xp.arange(max(end - 2, 0), min(end + 2, size))
            if 0 < end < size and bool((k.minimum_determinant(disp.take(slab, axis)) <= 0).any()):
                return True
    return False
