"""How good a registration is: overlap, surfaces, landmarks, folding, inverse consistency."""

from optreg.image import as_label_map
from optreg.metrics.consistency import InverseConsistency, inverse_consistency
from optreg.metrics.evaluate import evaluate
from optreg.metrics.folding import (
    FoldingSums,
    count_folds,
    folded_voxels,
    ndv_percent,
    sdlogj,
    sdlogj_evaluator,
)
from optreg.metrics.landmarks import LandmarkErrors, tre_labels, tre_points
from optreg.metrics.overlap import dice, mean_over_labels, warp_label_map
from optreg.metrics.similarity import local_correlation
from optreg.metrics.surface import hd95, surface_areas
from optreg.metrics.table import METRICS, Metric

__all__ = [
    "METRICS",
    "FoldingSums",
    "InverseConsistency",
    "LandmarkErrors",
    "Metric",
    "as_label_map",
    "dice",
    "evaluate",
    "folded_voxels",
    "count_folds",
    "hd95",
    "inverse_consistency",
    "local_correlation",
    "mean_over_labels",
    "ndv_percent",
    "sdlogj",
    "sdlogj_evaluator",
    "surface_areas",
    "tre_labels",
    "tre_points",
    "warp_label_map",
]
