"""Linear starts for images that are not aligned."""

from optreg.affine.align import MODELS, align
from optreg.affine.apart import lie_apart
from optreg.affine.fit import fit_linear
from optreg.affine.lattice import find_foreground
from optreg.affine.moments import align_moments
from optreg.affine.resample import resample_foreground
from optreg.affine.search import GROUPS

__all__ = [
    "GROUPS",
    "MODELS",
    "align",
    "align_moments",
    "find_foreground",
    "fit_linear",
    "lie_apart",
    "resample_foreground",
]
