"""Images of thick slices: registered on a finer grid, on which all axes have one voxel size.

Windows, smoothing and steps are in voxels. Where those are much longer along one axis, the
deformation would be too stiff along it in mm, and coarse levels would leave nothing of it.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from optreg.affine import resample_foreground
from optreg.config import RegistrationConfig
from optreg.finish import free_of_folds, volume_change
from optreg.grid import Grid
from optreg.inputs import Inputs
from optreg.kernels import Backend
from optreg.result import Registration
from optreg.transform import DisplacementField

__all__ = ["is_thick", "thick_of", "thin_of"]

_log = logging.getLogger("optreg")

_THICK = 1.5
"""Longest side of a voxel, relative to the shortest, from which it is divided."""
_LARGEST = 1 << 25
"""Voxels of the finer grid at most."""


def is_thick(inputs: Inputs) -> bool:
    """Whether the voxels of the fixed image are much longer along one axis than along another."""
    return max(_divisions(inputs.fixed[0].grid)) > 1


def thin_of(inputs: Inputs, backend: Backend) -> Inputs:
    """The same with the fixed images on the finer grid."""
    grid = inputs.fixed[0].grid
    finer = _divided(grid, _divisions(grid))
    shown = [" x ".join(f"{s:.3g}" for s in g.spacing) for g in (grid, finer)]
    _log.info("voxels of %s mm: registered with voxels of %s mm", *shown)
    start, onto = inputs.start, DisplacementField.identity(finer)
    return replace(
        inputs,
        fixed=tuple(resample_foreground(image, onto, backend) for image in inputs.fixed),
        start=None if start is None else start.resample_to(finer),
    )


def thick_of(
    result: Registration, inputs: Inputs, config: RegistrationConfig, backend: Backend
) -> Registration:
    """Result on the grid of the fixed image itself, free of folds there as well."""
    fixed, moving = inputs.fixed[0], inputs.moving[0]
    fields = [
        DisplacementField(disp, result.fixed.grid).resample_to(fixed.grid).disp
        for disp in (result.disp, result.inverse)
    ]
    with backend.active():
        forward, inverse = (backend.asarray(disp) for disp in fields)
        volume = volume_change(inputs.start)
        repaired = free_of_folds(forward, inverse, config, backend, volume)
        found = Registration.assemble(
            fixed,
            moving,
            (forward, inverse),
            result.status,
            result.history,
            result.config,
            result.similarity,
            repaired + int(result.quality["repaired_voxels"]),
            backend,
        )
    return replace(found, timings=result.timings)


def _divisions(grid: Grid) -> tuple[int, int, int]:
    """How many parts a voxel has along each axis; 1 each for voxels that are nearly cubes."""
    shortest = grid.spacing.min()
    parts = [round(s / shortest) if s > _THICK * shortest else 1 for s in grid.spacing]
    while max(parts) > 1 and np.prod(grid.shape) * np.prod(parts) > _LARGEST:
        parts[int(np.argmax(parts))] -= 1
    return parts[0], parts[1], parts[2]


def _divided(grid: Grid, parts: tuple[int, int, int]) -> Grid:
    """Grid whose voxels are so many parts of a voxel; see `Grid.downsample`, which goes back."""
    step = np.eye(4)
    step[:3, :3] = np.diag(1 / np.array(parts))
    step[:3, 3] = (1 / np.array(parts) - 1) / 2
    nx, ny, nz = (n * p for n, p in zip(grid.shape, parts, strict=True))
    return replace(grid, shape=(nx, ny, nz), affine=grid.affine @ step)
