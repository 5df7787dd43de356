"""Maps that tests need some of, whatever they are."""

from __future__ import annotations

import numpy as np

from optreg.transform import Affine


def small_affine(seed):
    """An affine near the identity, with a shift of some mm."""
    rng = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3] += rng.normal(0, 1, (3, 4)) * [0.1, 0.1, 0.1, 5]
    return Affine(matrix)
