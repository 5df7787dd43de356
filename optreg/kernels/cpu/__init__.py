"""Kernels for the CPU: numba, all cores, float32."""

from optreg.kernels.cpu.cubic import cubic_at, spline_coefficients
from optreg.kernels.cpu.discrete import convex_step, cost_volume
from optreg.kernels.cpu.field import compose_step, next_step, relax_volume, root_mean_square
from optreg.kernels.cpu.invert import invert, invert_at
from optreg.kernels.cpu.jacobian import (
    folding_sums,
    jacobian_determinant,
    jacobian_determinants,
    minimum_determinant,
)
from optreg.kernels.cpu.labels import warp_labels
from optreg.kernels.cpu.lncc import lncc
from optreg.kernels.cpu.marked import landing, spread
from optreg.kernels.cpu.mind import mind_ssc
from optreg.kernels.cpu.resample import downsample, upsample
from optreg.kernels.cpu.smooth import box_filter, gaussian_filter
from optreg.kernels.cpu.ssd import ssd
from optreg.kernels.cpu.unfold import minimum_determinant_at, smooth_marked
from optreg.kernels.cpu.warp import compose, map_field, warp, warp_nearest

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
    "mind_ssc",
    "next_step",
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
