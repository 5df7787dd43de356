"""Whether two images lie apart, so that they have to be aligned before they are deformed."""

from __future__ import annotations

import logging

import numpy as np

from optreg.affine.correlation_ratio import CorrelationRatio
from optreg.affine.lattice import DARK, Foreground, Lattice, find_foreground, make_lattice
from optreg.affine.objective import Objective
from optreg.affine.search import generators, minimize
from optreg.image import Image
from optreg.kernels import Backend, get_backend
from optreg.preprocess import foreground_overlap

__all__ = ["lie_apart"]

_log = logging.getLogger("optreg")

_COARSER = 2
"""Steps of the lattice in one of those on which images are aligned."""
_VOXELS = 2
"""In a step of the lattice, along each axis, at least, when an image is averaged for it."""
_ITERATIONS, _TOLERANCE_STEPS = 10, 0.01
_FAR_STEPS = 0.4
"""Motion that is worth an alignment, in steps. Brains of two people that are affinely aligned seem
to have moved by up to 0.25 in one contrast and 0.45 in two."""
_FAR_VOX = 2.0
"""The same at least in voxels of the fixed image: less is next to nothing on coarse levels."""
_EXPLAINED = 0.5
"""Part of the moving variance that the fixed image has to explain for the motion to be believed."""
_OVERLAP = 0.5
"""Dice coefficient of the foregrounds under which the images lie apart in any case."""


def lie_apart(fixed: Image, moving: Image, backend: Backend | None = None) -> bool:
    """Whether a rigid motion brings two images much closer, or they hardly overlap as they are.

    A quick search on a coarse lattice: a tenth of a second for brains at 1 mm. What one image does
    not show because its field of view ends is not missed.

    Parameters
    ----------
    fixed, moving : Image
        Of any shape, spacing and orientation.
    backend : Backend, optional
        Device; the CPU by default.

    Raises
    ------
    InputError
        An image without foreground.
    """
    backend = backend or get_backend("cpu")
    seen = [find_foreground(i, r, backend) for i, r in ((fixed, "fixed"), (moving, "moving"))]
    step_mm = _COARSER * seen[0].step_mm(fixed.grid)
    here, there = (
        _lattice(image, foreground, step_mm, backend)
        for image, foreground in zip((fixed, moving), seen, strict=True)
    )
    centre, radius = here.centre_and_radius(backend)
    objective = Objective(CorrelationRatio(here, backend), here, there, centre, backend)
    still = np.eye(4)
    still[:3, 3] = centre
    met, known = objective.sample(still)
    overlap = foreground_overlap(here.bright(), met > DARK, (here.known > 0.5, known > 0.5))
    if overlap < _OVERLAP:
        _log.info("foregrounds overlap by %.2f only: the images lie apart", overlap)
        return True
    turns = generators("rigid", radius)
    matrix, value = minimize(objective, still, turns, _ITERATIONS, _TOLERANCE_STEPS * step_mm)
    points = here.grid.voxel_to_world(np.argwhere(backend.asnumpy(here.bright()))) - centre
    moved = points @ (matrix - still)[:3, :3].T + (matrix - still)[:3, 3]
    motion_mm = float(np.sqrt((moved**2).sum(axis=1).mean()))
    _log.info("the images lie %.1f mm apart, as far as a rigid motion tells", motion_mm)
    far_mm = max(_FAR_STEPS * step_mm, _FAR_VOX * float(fixed.grid.spacing.min()))
    return bool(motion_mm > far_mm and value < 1 - _EXPLAINED)


def _lattice(image: Image, seen: Foreground, step_mm: float, backend: Backend) -> Lattice:
    """`make_lattice` for steps of many voxels: these are averaged first, in blocks."""
    xp, block = backend.xp, 1
    coarsest_mm = float(image.grid.spacing.max())
    while 2 * block * _VOXELS * coarsest_mm <= step_mm and 4 * block <= min(image.shape):
        block *= 2
    part = []
    for used, n in zip(seen.slices, image.shape, strict=True):
        # Wide enough that what ends at the foreground does not look like a field of view that does.
        start, stop = max(used.start - 2 * block, 0), min(used.stop + 2 * block, n)
        rest = (stop - start) % block
        # Taken off where there is a margin.
        part.append(
            slice(start + rest, stop) if 0 < start and stop == n else slice(start, stop - rest)
        )
    data = seen.scaled((part[0], part[1], part[2]), xp)
    for _ in range(block.bit_length() - 1):
        data = backend.kernels.downsample(xp.ascontiguousarray(data))
    grid = image.grid.crop((part[0], part[1], part[2])).downsample(block)
    averaged = Image(data, grid, image.name)
    return make_lattice(averaged, find_foreground(averaged, "image", backend), step_mm, backend)
