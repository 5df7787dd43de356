"""Continuous refinement: similarity, regularization and the solver."""

from optreg.continuous.similarity import Terms, plan
from optreg.continuous.solve import bytes_per_iteration, join_halves, refine

__all__ = ["Terms", "bytes_per_iteration", "join_halves", "plan", "refine"]
