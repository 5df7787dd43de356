"""Discrete coupled-convex search: capture range for poor starts."""

from optreg.discrete.search import search

__all__ = ["search"]
