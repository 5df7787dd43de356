"""Where a registration starts: a transform that is given, or an alignment that is found."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optreg import affine
from optreg.config import RegistrationConfig
from optreg.errors import ConfigError, GeometryError, InputError
from optreg.inputs import Initial, Inputs, is_auto
from optreg.kernels import Backend
from optreg.pipeline import register_volumes
from optreg.preprocess import check_overlap
from optreg.result import Status
from optreg.storage import canonical_of
from optreg.transform import Affine, DisplacementField
from optreg.transform.inverse import affine_part

__all__ = ["begin", "find_start", "is_found"]

_log = logging.getLogger("optreg")

_AUTO_MODEL = "affine"
"""How images that lie apart are aligned where nothing is said."""
_ROUNDS = 3
"""How often the alignment follows what a deformation of coarse images makes of it."""
_FINER = 2
"""Steps of those images in one of the lattice on which the alignment was found."""
_OFF_STEPS = 0.5
"""Distance, in their voxels, at which a point counts by half for the alignment."""
_POINTS = 50_000


def is_found(inputs: Inputs) -> bool:
    """Whether `init` asks for an alignment or leaves it open, instead of giving a transform."""
    return is_auto(inputs.init) or _is_model(inputs.init)


def _is_model(init: Initial | None) -> bool:
    return isinstance(init, (str, os.PathLike)) and str(init) in affine.MODELS


def find_start(inputs: Inputs, similarity: str, backend: Backend) -> DisplacementField | None:
    """`init` as a field on the grid of the fixed image; see `begin`."""
    return begin(inputs, similarity, backend).start


def begin(inputs: Inputs, similarity: str, backend: Backend) -> Inputs:
    """The same with `start` and `affine`: what `init` comes to.

    Raises
    ------
    InputError, GeometryError
        It cannot be used for these images, or images that lie apart cannot be aligned.
    ConfigError
        It asks for an alignment of slices, and alignments are three-dimensional.
    """
    init, grid = _decided(inputs, backend), inputs.fixed[0].grid
    if init is None:
        return inputs
    found: Affine | DisplacementField
    if _is_model(init):
        if min(grid.shape) == 1:
            raise ConfigError(f"init: '{init}' aligns volumes; give a transform for slices")
        found = _aligned(inputs, str(init), similarity, backend)
    elif isinstance(init, (DisplacementField, Affine)):
        found = init
    elif isinstance(init, (str, os.PathLike)):
        from optreg.io.fields import onto_grid, read_transform

        path = Path(init)
        if not path.exists():
            raise InputError(f"{path}: no such file, and none of {', '.join(affine.MODELS)}")
        found = read_transform(path, grid, inputs.moving[0].grid)
        if isinstance(found, DisplacementField):
            found = onto_grid(found, grid, path)
    else:
        found = DisplacementField(np.asarray(init), grid)
    linear = found if isinstance(found, Affine) else inputs.affine
    field = found.to_displacement(grid) if isinstance(found, Affine) else found
    if not field.fixed_grid.same_as(grid):
        raise GeometryError("init is not on the grid of the fixed image; resample it first")
    if np.linalg.det(affine_part(field).matrix[:3, :3]) < 0:
        raise GeometryError("init mirrors the image; check the signs and the order of its axes")
    return replace(inputs, start=DisplacementField(field.disp, grid), affine=linear)


def _decided(inputs: Inputs, backend: Backend) -> Initial | None:
    """`init`; where it is left to the images, an alignment if they lie apart.

    Slices are not aligned, and nothing is where only some axes may move.
    """
    if not is_auto(inputs.init):
        return inputs.init
    if min(inputs.fixed[0].shape) == 1 or inputs.still_axes:
        return None
    check_overlap(inputs.fixed[0], inputs.moving[0])
    inputs = canonical_of(inputs)  # lattices follow the axes
    fixed, moving = inputs.fixed[0], inputs.moving[0]
    if not affine.lie_apart(fixed, moving, backend):
        return None
    names = moving.name or "moving", fixed.name or "fixed"
    _log.warning("%s: lies apart from %s and is aligned first (init %s)", *names, _AUTO_MODEL)
    return _AUTO_MODEL


def _aligned(inputs: Inputs, model: str, similarity: str, backend: Backend) -> Affine:
    """Alignment of the first channels, improved by what a deformation of coarse images shows.

    Lattices of a few ten thousand voxels say where the object lies, but not to a millimetre, least
    of all in another contrast. The deformation compares what a registration compares, and the
    linear map that most of it follows lies closer.
    """
    inputs = canonical_of(inputs)
    found = affine.align(inputs.fixed[0], inputs.moving[0], model=model, backend=backend)
    if model not in affine.GROUPS:  # others are what they are
        return found
    config = replace(RegistrationConfig.preset("fast"), similarity=similarity)
    coarse = _coarse(inputs, backend)
    grid = coarse.fixed[0].grid
    index = np.argwhere(coarse.fixed[0].data > 0)
    if not (_is_solid(index) and _is_solid(np.argwhere(coarse.moving[0].data > 0))):
        return found  # too little is left on the coarse grids to deform
    index = index[:: 1 + len(index) // _POINTS]
    for _ in range(_ROUNDS):
        tried = replace(coarse, start=found.to_displacement(grid))
        result = register_volumes(tried, config, backend)
        if result.status is not Status.CONVERGED:
            break
        there = index + result.disp[(slice(None), *index.T)].T
        source, target = grid.voxel_to_world(index), grid.voxel_to_world(there)
        scale_mm = _OFF_STEPS * float(grid.spacing[0])
        found = Affine(affine.fit_linear(source, target, model, scale_mm))
    return found


def _is_solid(index: NDArray[np.intp]) -> bool:
    """Whether voxels are more than a plane, so that they determine a linear map."""
    return len(index) > 0 and bool(np.ptp(index, axis=0).all())


def _coarse(inputs: Inputs, backend: Backend) -> Inputs:
    """The same with all channels on coarse isotropic grids around the foreground."""
    sides = {"fixed": inputs.fixed, "moving": inputs.moving}
    seen = {role: affine.find_foreground(side[0], role, backend) for role, side in sides.items()}
    fine = inputs.fixed[0].grid
    step_mm = max(seen["fixed"].step_mm(fine) / _FINER, float(fine.spacing.min()))
    coarse = {}
    for role, side in sides.items():
        onto = DisplacementField.identity(seen[role].grid(side[0].grid, step_mm))
        coarse[role] = tuple(affine.resample_foreground(image, onto, backend) for image in side)
    plain = replace(inputs, init=None, refine=False, still_axes=())
    return replace(plain, fixed=coarse["fixed"], moving=coarse["moving"])
