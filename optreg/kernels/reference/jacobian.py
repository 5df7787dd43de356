"""Jacobian determinants of ``x + disp(x)`` by finite differences, in plain NumPy.

A voxel grid does not have one Jacobian determinant per voxel but several, one for every choice of
finite differences, and each is six times the signed volume of one deformed tetrahedron of grid
points. A field folds nowhere between the voxels only if all ten of them are positive [1]_:

- eight take a forward or a backward difference along each axis: the corner tetrahedron of the
  voxel ``p`` in each of the eight cubes around it;
- ``J*1`` spans the points ``p, p+x+y, p+x+z, p+y+z`` and ``J*2`` the points
  ``p, p-x-y, p-x-z, p-y-z``. Those are the central tetrahedra of the two ways to cut a cube into
  five, so over all voxels every cube is covered by both.

The identity gives 1 for the eight and 2 for ``J*1`` and ``J*2`` (the central tetrahedron is twice
as large). All arithmetic is in float64, results have the floating type of ``disp``.

References
----------
.. [1] Liu et al., "On finite difference Jacobian computation in deformable image registration",
   IJCV 2024, doi 10.1007/s11263-024-02047-1.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

# Order of the first axis of ``jacobian_determinants``: +1 forward, -1 backward, along (x, y, z),
# followed by J*1 and J*2.
CORNERS = tuple(itertools.product((1, -1), repeat=3))


class FoldingSums(NamedTuple):
    """What the folding metrics need, summed over the mask without the outermost voxels.

    Attributes
    ----------
    mask_voxels : int
        All voxels of the mask, the outermost layer of the grid left out.
    negative_volume : float
        Sum of ``0.5 * max(-J, 0) / 6`` over the ten determinants, in voxels. One half because
        the two cuts of every cube count its volume twice.
    folded_tetrahedra : int
        How many of the ten determinants are <= 0, summed over the voxels.
    folded_voxels : int
        Voxels with at least one of the ten <= 0.
    folded_central : int
        Voxels whose central-difference determinant is <= 0.
    """

    mask_voxels: int
    negative_volume: float
    folded_tetrahedra: int
    folded_voxels: int
    folded_central: int


def _floating(disp):
    disp = np.asarray(disp)
    return disp if disp.dtype in (np.float32, np.float64) else disp.astype(np.float64)


def _determinant(a, b, c):
    """Determinant of the matrix with columns ``a, b, c``, each a stack of three arrays."""
    return (
        a[0] * (b[1] * c[2] - b[2] * c[1])
        - a[1] * (b[0] * c[2] - b[2] * c[0])
        + a[2] * (b[0] * c[1] - b[1] * c[0])
    )


def jacobian_determinant(disp, out=None):
    """Determinant of the Jacobian of ``x + disp(x)`` by central differences.

    Differences are one-sided (of first order) in the outermost voxels, as in ``numpy.gradient``;
    along an axis of a single voxel the field counts as constant.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
        Displacement in voxels.
    out : ndarray (X, Y, Z), optional
        Receives the result.

    Returns
    -------
    ndarray (X, Y, Z)
        1 for a translation; <= 0 where the field folds at the scale of two voxels.
    """
    disp = _floating(disp)
    field = disp.astype(np.float64)
    columns = []
    for axis in range(3):
        column = np.zeros_like(field)
        if field.shape[axis + 1] > 1:
            column = np.gradient(field, axis=axis + 1)
        column[axis] += 1.0
        columns.append(column)
    determinant = _determinant(*columns)
    if out is None:
        return determinant.astype(disp.dtype)
    out[...] = determinant
    return out


def jacobian_determinants(disp):
    """All ten finite-difference determinants of every voxel.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
        Displacement in voxels.

    Returns
    -------
    ndarray (10, X, Y, Z)
        In the order of ``CORNERS``, then J*1 and J*2. Positive infinity where a determinant
        needs a point outside the grid: there is no such tetrahedron, so it cannot fold.
    """
    disp = _floating(disp)
    position = disp.astype(np.float64) + np.indices(disp.shape[1:])
    position = np.pad(position, ((0, 0), (1, 1), (1, 1), (1, 1)))
    inside = np.pad(np.ones(disp.shape[1:], bool), 1)

    def at(offset):
        window = tuple(slice(1 + o, 1 + o + n) for o, n in zip(offset, disp.shape[1:], strict=True))
        return position[(slice(None), *window)], inside[window]

    centre, _ = at((0, 0, 0))
    result = np.empty((10, *disp.shape[1:]), disp.dtype)
    for k, (sx, sy, sz) in enumerate((*CORNERS, (1, 1, 1), (-1, -1, -1))):
        if k < 8:
            offsets = [(sx, 0, 0), (0, sy, 0), (0, 0, sz)]
        else:
            offsets = [(sx, sy, 0), (sx, 0, sz), (0, sy, sz)]
        points = [at(offset) for offset in offsets]
        # Mirrored tetrahedra list their edges in the wrong sense: restore the sign.
        sense = np.sign(np.linalg.det(np.array(offsets, float)))
        determinant = sense * _determinant(*(point - centre for point, _ in points))
        available = points[0][1] & points[1][1] & points[2][1]
        result[k] = np.where(available, determinant, np.inf)
    return result


def minimum_determinant(disp, out=None):
    """Smallest of the ten determinants of every voxel.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
        Displacement in voxels.
    out : ndarray (X, Y, Z), optional
        Receives the result.

    Returns
    -------
    ndarray (X, Y, Z)
        1 for a translation; <= 0 where any of the ten tetrahedra of the voxel folds. NaN where
        one of them meets a NaN. Determinants that need a point outside the grid are left out.
    """
    return np.min(jacobian_determinants(disp), axis=0, out=out)


def folding_sums(disp, mask=None):
    """Sums behind the non-diffeomorphic volume and the counts of folded voxels.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
        Displacement in voxels.
    mask : ndarray (X, Y, Z), optional
        Voxels to count, where nonzero; all if absent. The outermost voxels never count.

    Returns
    -------
    FoldingSums
        A NaN in reach of the mask makes ``negative_volume`` NaN; it is not counted as folded.
    """
    disp = _floating(disp)
    counted = np.zeros(disp.shape[1:], bool)
    interior = (slice(1, -1),) * 3
    counted[interior] = True if mask is None else np.asarray(mask)[interior] != 0
    ten = jacobian_determinants(disp.astype(np.float64))[:, counted]
    central = jacobian_determinant(disp.astype(np.float64))[counted]
    folded = ten <= 0
    return FoldingSums(
        int(counted.sum()),
        float(np.sum(np.maximum(-ten, 0.0)) / 12.0),
        int(folded.sum()),
        int(folded.any(axis=0).sum()),
        int((central <= 0).sum()),
    )
