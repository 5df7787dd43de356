"""Continuous refinement: similarity, regularization and the symmetric solver."""

from optreg.continuous.similarity import Similarity, local_correlation, squared_difference
from optreg.continuous.solve import bytes_per_iteration, join_halves, refine

__all__ = [
    "Similarity",
    "bytes_per_iteration",
    "join_halves",
    "local_correlation",
    "refine",
    "squared_difference",
]
