"""Inverse of a field on the grid of the moving image."""

from __future__ import annotations

import numpy as np

from optreg.grid import Grid
from optreg.transform.affine import Affine
from optreg.transform.field import DisplacementField
from optreg.transform.sampling import thickened

__all__ = ["affine_part", "invert_onto"]

# Positions a fit of 12 numbers needs at the most; more only take longer.
_LARGEST_SAMPLE = 50_000


def affine_part(field: DisplacementField) -> Affine:
    """The affine closest to `field`, by least squares over its voxels.

    Raises
    ------
    GeometryError
        The field squeezes its grid into a plane.
    """
    count = int(np.prod(field.fixed_grid.shape))
    step = max(1, int(np.ceil((count / _LARGEST_SAMPLE) ** (1 / 3))))
    disp = thickened(field.disp)  # a slice says how it is across its plane, too
    picked = [np.unique(np.append(np.arange(0, n, step), n - 1)) for n in disp.shape[1:]]
    index = np.stack(np.meshgrid(*picked, indexing="ij")).reshape(3, -1)
    start = field.fixed_grid.voxel_to_world(index.T)
    end = field.fixed_grid.voxel_to_world((index + disp[(slice(None), *index)]).T)
    centre = start.mean(axis=0)
    design = np.column_stack([start - centre, np.ones(len(start))])
    solution = np.linalg.lstsq(design, end, rcond=None)[0]
    matrix = np.eye(4)
    matrix[:3, :3] = solution[:3].T
    matrix[:3, 3] = solution[3] - matrix[:3, :3] @ centre
    return Affine(matrix)


def invert_onto(field: DisplacementField, grid: Grid) -> DisplacementField:
    """Map from the moving to the fixed world, on `grid`, which is that of the moving image.

    `DisplacementField.invert` looks for the inverse on the fixed grid and repeats the edge beyond
    it. That suits two images in one place; with an affine in the field it fails. Here the affine
    part is inverted exactly, and only what remains is searched for.

    Raises
    ------
    GeometryError
        See `affine_part`.
    """
    if grid.same_as(field.fixed_grid):
        return field.invert()
    back = affine_part(field).invert()
    fixed = field.fixed_grid
    rest = back.after(field).invert()
    inverse = rest.compose(back.to_displacement(grid, fixed))
    return DisplacementField(inverse.disp, grid, fixed)
