"""Displacements between voxels: NIfTI of the Learn2Reg / LUMIR challenge, and .npz.

``warped[x] = moving[x + disp[x]]``, arrays without any geometry: on whatever grids the two images
are, a displacement leads from voxels of the fixed to voxels of the moving one. What is written here
says besides which grids these are (in a header extension, or the comment of an archive), so that it
can be read and checked without the images.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optreg.errors import GeometryError, InputError, OutputError
from optreg.grid import Grid
from optreg.io.files import PathLike
from optreg.io.formats.arrays import read_array, read_note, write_array
from optreg.io.formats.frame import require_finite
from optreg.io.nifti import StoredVolume, write_nifti
from optreg.transform import DisplacementField

__all__ = ["from_nifti", "read_numpy", "stored_grids", "to_nifti", "to_numpy", "voxels"]

# Share of voxels that a field may send out of the image before it is taken for one in other units.
_LARGEST_SHARE_OUTSIDE = 0.5
_KEY = "learn2reg_displacement_field"
"""Under which a note in a file has the grids, as JSON."""
_ROLES = ("fixed", "moving")


def from_nifti(
    stored: StoredVolume, fixed: Grid | None, moving: Grid | None = None
) -> DisplacementField:
    """Field ``(X,Y,Z,3)`` or ``(3,X,Y,Z)``.

    On the grids that the file names, else on those that are given, else on that of the header.
    """
    said = stored_grids(*stored.notes)
    geometry = stored.affine, stored.space
    return _from_voxels(stored.values(stored.array), geometry, said, fixed, moving)


def to_nifti(path: PathLike, field: DisplacementField, overwrite: bool) -> Path:
    """Float32 ``(X,Y,Z,3)`` with identity affine, as the challenge wants it."""
    note = _description(field)
    voxels = np.moveaxis(field.voxels_of(field.source_grid), 0, -1)
    return write_nifti(path, voxels, np.eye(4), note=note, overwrite=overwrite)


def read_numpy(path: Path, fixed: Grid | None, moving: Grid | None = None) -> DisplacementField:
    """Field of an array file, in either order of the axes; grids as in `from_nifti`."""
    said = stored_grids(read_note(path))
    return _from_voxels(read_array(path), (np.eye(4), 1), said, fixed, moving)


def to_numpy(path: PathLike, field: DisplacementField, overwrite: bool) -> Path:
    """Float32 ``(3,X,Y,Z)`` as .npz."""
    if not str(path).lower().endswith(".npz"):
        raise OutputError(f"{path}: format npz; end the name in .npz")
    voxels = field.voxels_of(field.source_grid)
    return write_array(path, voxels, overwrite, note=_description(field))


def voxels(stored: StoredVolume, grid: Grid) -> NDArray[np.float32]:
    """(3, X, Y, Z) displacements as they are in the file, for a fixed image on `grid`."""
    geometry = stored.affine, stored.space
    return _from_voxels(stored.values(stored.array), geometry, None, grid, None).disp


def stored_grids(*notes: str) -> tuple[Grid, Grid] | None:
    """Grids of the fixed and the moving image, as the first of some notes in a file tells them.

    None where none does.
    """
    for note in notes:
        # Notes are of any program, and files may be damaged.
        with suppress(ValueError, TypeError, KeyError, RecursionError, GeometryError):
            said = json.loads(note)[_KEY]
            fixed, moving = (
                Grid(said[role]["shape"], said[role]["affine"], said[role]["space"])
                for role in _ROLES
            )
            return fixed, moving
    return None


def _description(field: DisplacementField) -> str:
    """Note that tells the grids of both images."""
    grids = zip(_ROLES, (field.fixed_grid, field.source_grid), strict=True)
    said = {
        role: {"shape": grid.shape, "affine": grid.affine.tolist(), "space": grid.space}
        for role, grid in grids
    }
    return json.dumps({_KEY: said})


def _from_voxels(
    values: NDArray[Any],
    geometry: tuple[NDArray[np.float64], int],
    said: tuple[Grid, Grid] | None,
    grid: Grid | None,
    moving: Grid | None,
) -> DisplacementField:
    shape = values.shape
    if len(shape) != 4 or 3 not in (shape[0], shape[3]):
        raise InputError(f"shape {shape} is no displacement field; (X,Y,Z,3) or (3,X,Y,Z) is due")
    require_finite(values)
    if said is not None:
        # The caller's own where they are the same: they may know more than a file holds.
        grid, moving = (
            mine if mine is not None and mine.same_as(other) else other
            for mine, other in zip((grid, moving), said, strict=True)
        )
    last = shape[3] == 3
    if shape[0] == shape[3] == 3 and grid is not None:
        last = shape[:3] == grid.shape
    disp = np.moveaxis(values, -1, 0) if last else values
    if grid is None:
        nx, ny, nz = disp.shape[1:]
        grid = Grid((nx, ny, nz), *geometry)
    elif disp.shape[1:] != grid.shape:
        here, there = ("x".join(map(str, s)) for s in (disp.shape[1:], grid.shape))
        if said is not None:
            raise InputError(
                f"field for {here} voxels, but its header tells of an image of {there}; it was "
                "changed by another program: save it with a new header"
            )
        raise InputError(
            f"field for {here} voxels, the fixed image has {there}; use the image it was made for"
        )
    if said is None:
        _require_voxels(disp, (moving or grid).shape)
    return DisplacementField.between_voxels(disp, grid, moving)


def _require_voxels(disp: NDArray[Any], target: tuple[int, ...]) -> None:
    """Refuse a field in voxels whose numbers are plainly something else.

    `target` is the shape of the moving image.
    """
    away = np.zeros(disp.shape[1:], bool)
    for axis, (size, n) in enumerate(zip(disp.shape[1:], target, strict=True)):
        index = np.arange(size, dtype=np.float32)
        index = index.reshape([-1 if a == axis else 1 for a in range(3)])
        away |= (disp[axis] < -index - n / 2) | (disp[axis] > 1.5 * n - index)
    share = float(away.mean())
    if share > _LARGEST_SHARE_OUTSIDE:
        raise InputError(
            f"{share:.0%} of the displacements lead far out of the image; they must be in voxels, "
            "not in mm and not positions"
        )
