"""`register`: images, whatever they are, to the pipeline and back."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from optreg.config import RegistrationConfig
from optreg.errors import DeviceMemoryError
from optreg.inputs import (
    Configuration,
    ImageLike,
    Images,
    Initial,
    Inputs,
    read_config,
    read_inputs,
)
from optreg.kernels import Backend, get_backends, thread_limit
from optreg.pipeline import Progress, register_volumes
from optreg.result import Registration
from optreg.slices import is_slice, slice_of, volumes_of
from optreg.start import begin, is_found
from optreg.thick import is_thick, thick_of, thin_of

__all__ = ["register"]

_log = logging.getLogger("optreg")


def register(
    fixed: Images,
    moving: Images,
    *,
    preset: str = "default",
    config: Configuration | None = None,
    similarity: str | None = None,
    init: Initial | None = "auto",
    refine: bool = False,
    fixed_mask: ImageLike | None = None,
    moving_mask: ImageLike | None = None,
    weights: ImageLike | None = None,
    axes: str = "ijk",
    device: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
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
    config : RegistrationConfig or path, optional
        All parameters, or a TOML file of them (`RegistrationConfig.from_toml`).
    similarity : {"auto", "lncc", "tissue", "mind"}, optional
        Overrides that of the configuration.
    init : DisplacementField, Affine, Registration, (3, X, Y, Z) ndarray, path, str or None
        Where to start. "auto": as the headers say; images that lie apart by more than about 4 mm,
        for a brain, are aligned by an affine map first (`optreg.affine.lie_apart`). None or "none":
        as the headers say in any case. Else a transform from the fixed to the moving image (an
        earlier result, another tool's or a network's field), or what to find one with: "affine",
        "similarity", "rigid", "translation" (`optreg.affine.align`), "moments" (centres of mass
        and extents), or SimpleITK's search ("sitk-affine" and so on). The moving image is warped
        by it and registration starts from there.
    refine : bool
        Go on from the field `init` itself instead, at full resolution only: for one that is nearly
        right. What it has found already is then not looked for anew.
    fixed_mask, moving_mask : Image, ndarray or path, optional
        Where the image counts (> 0), on any grid of its world; an array is on the grid of the
        image. The rest is not compared, for it has no counterpart: a lesion, what another field of
        view does not show. The displacement there follows from what is around it.
    weights : Image, ndarray or path, optional
        How much each place of the fixed image counts, 0 or more, relative to the largest.
    axes : str
        Array axes of `fixed` along which the deformation may go: of "i", "j", "k", as "j" for
        the distortion of echo-planar images along their phase encoding. `init` is free; "auto"
        aligns nothing then.
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
        The images do not overlap in the world, or cannot be brought to overlap.
    ConfigError
        A parameter is out of range.
    DeviceError
        The device is not there, or its memory is too small.
    """
    config = read_config(config, preset, similarity)
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
    inputs: Inputs, config: RegistrationConfig, backend: Backend, progress: Progress | None
) -> Registration:
    """`register` on one device, of volumes, single slices, or volumes of thick slices."""
    began, flat = time.perf_counter(), is_slice(inputs)
    timings: dict[str, float] = {}
    if (compile_kernels := backend.compile_ahead()) is not None:
        if progress is not None:
            progress("compile (once)", 0.0)
        compile_kernels()
        timings["compile"] = time.perf_counter() - began
    with backend.active():
        start = time.perf_counter()
        inputs = begin(inputs, config.similarity, backend)
        if is_found(inputs):
            timings["align"] = time.perf_counter() - start
        if flat:
            volumes = volumes_of(inputs, config)
            result = slice_of(register_volumes(volumes, config, backend, progress), inputs)
        elif is_thick(inputs):
            result = register_volumes(thin_of(inputs, backend), config, backend, progress)
            result = thick_of(result, inputs, config, backend)
        else:
            result = register_volumes(inputs, config, backend, progress)
    timings |= {**result.timings, "total": time.perf_counter() - began}
    return replace(result, timings=timings, affine=inputs.affine)
