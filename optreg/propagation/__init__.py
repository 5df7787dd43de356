"""Labels of atlases brought to a subject: registered, warped, fused by votes."""

from optreg.propagation.fusion import OWN_FACTOR, Fused, fuse, similarity_weights
from optreg.propagation.pipeline import FUSIONS, Atlas, propagate
from optreg.propagation.result import LabelFusion, LabelVolume

__all__ = [
    "FUSIONS",
    "OWN_FACTOR",
    "Atlas",
    "Fused",
    "LabelFusion",
    "LabelVolume",
    "fuse",
    "propagate",
    "similarity_weights",
]
