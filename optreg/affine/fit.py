"""The linear map that most of the points follow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from optreg.affine.search import GROUPS

__all__ = ["fit_linear"]

_ITERATIONS = 10


def fit_linear(
    source: NDArray[np.float64], target: NDArray[np.float64], group: str, scale_mm: float
) -> NDArray[np.float64]:
    """Map of a group that takes points closest to where they belong.

    Least squares, iterated with the weights of a Cauchy distribution (Holland & Welsch 1977, doi
    10.1080/03610927708827533), so that what has moved on its own does not count. Rotation and
    scale as in Umeyama 1991 (doi 10.1109/34.88573).

    Parameters
    ----------
    source, target : (N, 3) ndarray
        mm.
    group : {"affine", "similarity", "rigid", "translation"}
    scale_mm : float
        Distance at which a point counts by half.

    Returns
    -------
    (4, 4) ndarray
    """
    weight = np.ones(len(source))
    for _ in range(_ITERATIONS):
        matrix = _least_squares(source, target, weight, group)
        left = target - source @ matrix[:3, :3].T - matrix[:3, 3]
        weight = 1 / (1 + (left**2).sum(axis=1) / scale_mm**2)
    return matrix


def _least_squares(
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    weight: NDArray[np.float64],
    group: str,
) -> NDArray[np.float64]:
    share = (weight / weight.sum())[:, None]
    from_centre, to_centre = ((points * share).sum(axis=0) for points in (source, target))
    here, there = source - from_centre, target - to_centre
    linear = np.eye(3)
    if group == "affine":
        # Sums, not matrix products: their order does not depend on the number of threads.
        spread = (share[:, :, None] * here[:, :, None] * here[:, None]).sum(axis=0)
        shared = (share[:, :, None] * there[:, :, None] * here[:, None]).sum(axis=0)
        linear = np.linalg.solve(spread, shared.T).T
    elif GROUPS.index(group) >= GROUPS.index("rigid"):
        linear = Rotation.align_vectors(there, here, weights=weight)[0].as_matrix()
        if group == "similarity":
            turned = here @ linear.T
            linear *= (share * there * turned).sum() / (share * here**2).sum()
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, to_centre - linear @ from_centre
    return matrix
