"""Folding and roughness of a displacement field: NDV, folded voxels, SDlogJ.

The non-diffeomorphic volume is defined by Liu et al., IJCV 2024, doi 10.1007/s11263-024-02047-1;
the ten determinants it rests on are described in ``optreg.kernels.reference.jacobian``.
"""

from __future__ import annotations

import numpy as np

from optreg.errors import InputError
from optreg.kernels.cpu import jacobian
from optreg.kernels.reference.jacobian import FoldingSums
from optreg.metrics._validate import as_field, as_mask
from optreg.transform.sampling import thickened

# Folds have no logarithm: their determinants count as this small compression instead.
SMALLEST_DETERMINANT = 1e-9


def log_determinant(determinant: np.ndarray) -> np.ndarray:
    """Natural logarithm of determinants (X, Y, Z); of folds, of `SMALLEST_DETERMINANT`."""
    return np.log(np.maximum(determinant, determinant.dtype.type(SMALLEST_DETERMINANT)))


def count_folds(disp: np.ndarray, mask: np.ndarray | None = None) -> FoldingSums:
    """Count folds in one pass over the field.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
        Displacement in voxels.
    mask : ndarray (X, Y, Z), optional
        Voxels to count, where > 0 (an image without background will do); all if absent.
        The outermost voxels of the grid never count: they lack half of the neighbours.

    Returns
    -------
    FoldingSums
        ``negative_volume`` in voxels, ``folded_tetrahedra`` and ``folded_voxels`` over the ten
        determinants, ``folded_central`` over the central difference, ``mask_voxels``.

    Raises
    ------
    InputError
        For a field or mask that cannot be used, or a mask without an inner voxel.
    """
    field, inside = _solid(disp, mask)
    sums = jacobian.folding_sums(field, inside)
    if not sums.mask_voxels:
        raise InputError("no voxel to count folds in: the mask has none off the grid's border")
    return sums


def _solid(disp: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Field and mask; a single slice with copies of it at both sides, of which only it counts."""
    field = as_field(disp)
    inside = as_mask(mask, field.shape[1:])
    return thickened(field, 3), None if inside is None else thickened(inside, 3)


def ndv_percent(disp: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Non-diffeomorphic volume in percent of the mask: ``100 * negative_volume / mask_voxels``.

    Parameters, errors: see ``count_folds``. Exactly 0 if none of the ten determinants of any voxel
    is negative. LUMIR 2025 masks with the fixed image, LUMIR 2024 with the moving one.
    """
    sums = count_folds(disp, mask)
    return 100.0 * sums.negative_volume / sums.mask_voxels


def folded_voxels(disp: np.ndarray, mask: np.ndarray | None = None) -> int:
    """Voxels in which at least one of the ten determinants is <= 0; see ``count_folds``."""
    return count_folds(disp, mask).folded_voxels


def sdlogj(disp: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Standard deviation of the logarithm of the central-difference Jacobian determinant.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
        Displacement in voxels.
    mask : ndarray (X, Y, Z), optional
        Voxels to use, where > 0; all if absent. The outermost voxels are left out.

    Returns
    -------
    float
        Determinants below 1e-9 count as 1e-9, so one fold adds a value near -20.7: a folded field
        is visibly rough. How many there are is ``count_folds(...).folded_central``.

    Raises
    ------
    InputError
        See ``count_folds``.
    """
    field, inside = _solid(disp, mask)
    interior = (slice(1, -1),) * 3
    determinant = jacobian.jacobian_determinant(field)[interior]
    values = determinant if inside is None else determinant[inside[interior]]
    if not values.size:
        raise InputError("no voxel to take SDlogJ over: the mask has none off the grid's border")
    return float(np.std(np.log(np.maximum(values.astype(np.float64), SMALLEST_DETERMINANT))))


def sdlogj_evaluator(disp: np.ndarray) -> float:
    """SDlogJ the way the Learn2Reg and LUMIR evaluators compute it.

    They add 3 to the determinant before the logarithm, use no mask and drop two outer voxels. The
    number is much smaller than ``sdlogj`` and hides folds; it serves comparisons with published
    tables only.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
        Displacement in voxels.

    Returns
    -------
    float

    Raises
    ------
    InputError
        For a field that cannot be used or has fewer than five voxels along an axis.
    """
    field = thickened(as_field(disp), 5)
    if min(field.shape[1:]) < 5:
        raise InputError(f"grid {field.shape[1:]} is too small: five voxels an axis are needed")
    determinant = jacobian.jacobian_determinant(field)[(slice(2, -2),) * 3].astype(np.float64)
    # Shifting by log 4 changes no deviation and makes that of the identity exactly 0.
    return float(np.std(np.log(np.clip(determinant + 3.0, SMALLEST_DETERMINANT, 1e9) / 4.0)))
