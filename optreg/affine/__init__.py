"""Linear starts for images that are not aligned."""

from optreg.affine.align import MODELS, align
from optreg.affine.moments import align_moments
from optreg.affine.resample import resample_foreground

__all__ = ["MODELS", "align", "align_moments", "resample_foreground"]
