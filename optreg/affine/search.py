"""Best map of a group of linear maps: generators, starts, Levenberg-Marquardt."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from optreg.affine.objective import Objective

__all__ = ["GROUPS", "generators", "minimize", "rotations"]

GROUPS = ("translation", "rigid", "similarity", "affine")
"""Each contains those before it."""

_DAMPING = 1e-3
_LEAST_DAMPING, _MOST_DAMPING = 1e-6, 1e3


def generators(group: str, radius_mm: float) -> NDArray[np.float64]:
    """Directions in which a map of a group can change.

    Parameters
    ----------
    group : {"translation", "rigid", "similarity", "affine"}
    radius_mm : float
        Distance from the centre at which one unit moves a point by about 1 mm.

    Returns
    -------
    (k, 4, 4) ndarray
        A map M changes to ``M @ expm(sum of p[i] * result[i])``.
    """
    entries = np.eye(16).reshape(4, 4, 4, 4)  # one matrix for each row and column
    shifts = [entries[i, 3] for i in range(3)]
    turns = [entries[j, i] - entries[i, j] for i, j in ((0, 1), (0, 2), (1, 2))]
    scale = entries[0, 0] + entries[1, 1] + entries[2, 2]
    linear = {
        "translation": [],
        "rigid": turns,
        "similarity": [*turns, scale],
        "affine": [entries[i, j] for i in range(3) for j in range(3)],
    }[group]
    return np.stack([*shifts, *(g / radius_mm for g in linear)])


def rotations(angle_degrees: float) -> list[NDArray[np.float64]]:
    """No rotation, and those by an angle about the three axes and the four diagonals."""
    axes = [np.array(a) for a in product((-1, 0, 1), repeat=3) if np.count_nonzero(a) in (1, 3)]
    turns = [np.deg2rad(angle_degrees) * a / np.linalg.norm(a) for a in axes]
    return [np.eye(3), *(Rotation.from_rotvec(t).as_matrix() for t in turns)]


def minimize(
    objective: Objective,
    start: NDArray[np.float64],
    directions: NDArray[np.float64],
    iterations: int,
    tolerance_mm: float,
) -> tuple[NDArray[np.float64], float]:
    """Levenberg-Marquardt (Marquardt 1963, doi 10.1137/0111030) from a start.

    Parameters
    ----------
    objective : Objective
    start : (4, 4) ndarray
    directions : (k, 4, 4) ndarray
        From `generators`.
    iterations : int
        At the most.
    tolerance_mm : float
        Length of a step (at the radius of the generators) that ends it.

    Returns
    -------
    matrix : (4, 4) ndarray
    value : float
        Of the objective; never above that of `start`.
    """
    rows = directions[:, :3]
    value, gradient, hessian = objective.derivatives(start)
    matrix, damping = start, _DAMPING
    for _ in range(iterations):
        slope = np.einsum("kij,ij->k", rows, gradient)
        bend = np.einsum("kij,ijmn,lmn->kl", rows, hessian, rows)
        # With all units 1 mm, one damping suits them all.
        unit = np.eye(len(rows)) * max(np.trace(bend) / len(rows), 1e-12)
        while True:
            step = -np.linalg.solve(bend + damping * unit, slope)
            tried = matrix @ expm(np.tensordot(step, directions, 1))
            found = objective.value(tried)
            small = np.linalg.norm(step) < tolerance_mm
            if found < value or small or damping > _MOST_DAMPING:
                break
            damping = max(10 * damping, _DAMPING)
        if not found < value:
            break
        matrix, damping = tried, max(damping / 10, _LEAST_DAMPING)
        if small:
            return matrix, found
        value, gradient, hessian = objective.derivatives(matrix)
    return matrix, value
