"""Spatial transforms; all of them map positions of the fixed image to positions of the moving one.

That direction is what resampling needs (every fixed voxel asks where its value comes from), and
the one in which the field formats of the challenge and of ITK are stored.
"""

from optreg.transform.affine import Affine
from optreg.transform.field import DisplacementField
from optreg.transform.inverse import invert_onto

__all__ = ["Affine", "DisplacementField", "invert_onto"]
