"""Every hot operation in NumPy and SciPy: the specification of the kernels and their oracle."""

from optreg.kernels.reference.cubic import cubic_at, spline_coefficients
from optreg.kernels.reference.discrete import convex_step, cost_volume
from optreg.kernels.reference.field import (
    compose_step,
    downsample,
    minimum_determinant_at,
    next_step,
    relax_volume,
    root_mean_square,
    smooth_marked,
    upsample,
)
from optreg.kernels.reference.jacobian import (
    folding_sums,
    jacobian_determinant,
    jacobian_determinants,
    minimum_determinant,
)
from optreg.kernels.reference.labels import warp_labels
from optreg.kernels.reference.marked import landing, spread
from optreg.kernels.reference.mind import mind_ssc
from optreg.kernels.reference.similarity import lncc, ssd
from optreg.kernels.reference.smooth import box_filter, gaussian_filter
from optreg.kernels.reference.warp import (
    compose,
    invert,
    invert_at,
    map_field,
    warp,
    warp_nearest,
)

__all__ = [
    "box_filter",
    "compose",
    "compose_step",
    "convex_step",
    "cost_volume",
    "cubic_at",
    "downsample",
    "folding_sums",
    "gaussian_filter",
    "invert",
    "invert_at",
    "jacobian_determinant",
    "jacobian_determinants",
    "landing",
    "lncc",
    "map_field",
    "minimum_determinant",
    "minimum_determinant_at",
    "next_step",
    "mind_ssc",
    "relax_volume",
    "root_mean_square",
    "smooth_marked",
    "spline_coefficients",
    "spread",
    "ssd",
    "upsample",
    "warp",
    "warp_labels",
    "warp_nearest",
]
