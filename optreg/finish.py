"""From refined fields in a box to what is exported: full grid, both directions, free of folds."""

from __future__ import annotations

from typing import Any

import numpy as np

from optreg.config import RegistrationConfig
from optreg.continuous.repair import repair_folds, repair_pair, tighten_inverse
from optreg.grid import Grid
from optreg.kernels import Backend, get_backend
from optreg.preprocess import Box
from optreg.transform import DisplacementField, invert_onto
from optreg.transform.inverse import affine_part
from optreg.transform.sampling import thickened

__all__ = ["finish", "free_of_folds", "unfolded_inverse", "volume_change"]


def finish(
    fields: list[Any],
    search: tuple[Any, Any] | None,
    start: DisplacementField | None,
    box: Box,
    config: RegistrationConfig,
    backend: Backend,
    still_axes: tuple[int, ...] = (),
) -> tuple[tuple[Any, Any], int]:
    """Displacement and inverse on the full grid, and how many voxels were repaired.

    Parameters
    ----------
    fields : list of two (3, x, y, z) arrays
        Displacement and inverse from the refinement; taken out of the list.
    search : pair of (3, x, y, z) arrays, optional
        The same from the discrete search that went before.
    start : DisplacementField, optional
        What the moving image was warped by before anything else.
    box : Box
        Where the refinement worked.
    still_axes : tuple of int
        Array axes along which fields, apart from `start`, displace nothing.
    """
    k = backend.kernels
    inverse, forward = fields.pop(), fields.pop()  # so that nobody else holds them
    for _ in range(config.continuous.finest.bit_length() - 1):
        forward, inverse = k.upsample(forward, 2.0), k.upsample(inverse, 2.0)
    if search is not None:
        forward, inverse = k.compose(search[0], forward), k.compose(inverse, search[1])
    repaired = 0
    if start is None:
        repaired = free_of_folds(forward, inverse, config, backend)
    for axis in still_axes:  # what Newton's method leaves of rounding
        forward[axis], inverse[axis] = 0, 0
    forward, inverse = (box.paste(f, backend.xp) for f in (forward, inverse))
    if start is not None:
        begin, end = (backend.asarray(s.disp) for s in (start, start.invert()))
        forward, inverse = k.compose(begin, forward), k.compose(inverse, end)
    if start is not None or any(_folds_at_rim(f, box, backend) for f in (forward, inverse)):
        repaired += free_of_folds(forward, inverse, config, backend, volume_change(start))
    return (forward, inverse), repaired


def free_of_folds(
    forward: Any,
    inverse: Any,
    config: RegistrationConfig,
    backend: Backend,
    volume: float = 1.0,
) -> int:
    """Free two fields (3, X, Y, Z) of folds in place; how many voxels that changed.

    Both contain a start with this `volume_change`.
    """
    repaired = repair_pair(forward, inverse, config.repair, backend, volume)
    for _ in range(config.repair.tighten_rounds):
        tighten_inverse(forward, inverse, config.repair, backend, volume)
    return repaired


def unfolded_inverse(
    field: DisplacementField, grid: Grid, config: RegistrationConfig
) -> DisplacementField:
    """Inverse of a field on the grid of the moving image, free of folds there.

    What has no fold between the voxels of one grid may have some between those of another.
    """
    inverse, backend = invert_onto(field, grid), get_backend("cpu")
    disp = thickened(inverse.disp)
    if repair_folds(disp, config.repair, backend, volume_change(inverse)):
        x, y, z = grid.shape
        inverse = DisplacementField(disp[:, :x, :y, :z], grid, field.fixed_grid)
    return inverse


def volume_change(start: DisplacementField | None) -> float:
    """How many times as large the linear part of a start makes a volume; 1 without a start.

    The same in voxels and in mm: both ends of a displacement are in voxels of one grid.
    """
    if start is None:
        return 1.0
    return float(abs(np.linalg.det(affine_part(start).matrix[:3, :3])))


def _folds_at_rim(disp: Any, box: Box, backend: Backend) -> bool:
    """Whether a pasted field folds where the box ends: inside it is known not to."""
    xp, k = backend.xp, backend.kernels
    for axis, (part, size) in enumerate(zip(box.slices, disp.shape[1:], strict=True), start=1):
        for end in (part.start, part.stop):
            slab = xp.arange(max(end - 2, 0), min(end + 2, size))
            if 0 < end < size and bool((k.minimum_determinant(disp.take(slab, axis)) <= 0).any()):
                return True
    return False
