"""Linear starts for images that are not aligned."""

from optreg.affine.moments import align_moments

__all__ = ["align_moments"]
