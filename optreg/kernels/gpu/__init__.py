"""Kernels for NVIDIA GPUs: CUDA C in ``kernels/cuda``, launched here.

Every function takes the engine that runs it first; `bind` gives the functions of
``kernels.reference``, same names and signatures, for one engine.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

from optreg.kernels.gpu.cubic import cubic_at, spline_coefficients
from optreg.kernels.gpu.discrete import convex_step, cost_volume
from optreg.kernels.gpu.engine import Engine
from optreg.kernels.gpu.field import compose_step, next_step, relax_volume, root_mean_square
from optreg.kernels.gpu.invert import invert, invert_at
from optreg.kernels.gpu.jacobian import (
    folding_sums,
    jacobian_determinant,
    jacobian_determinants,
    minimum_determinant,
    minimum_determinant_at,
)
from optreg.kernels.gpu.marked import landing, spread
from optreg.kernels.gpu.mind import mind_ssc
from optreg.kernels.gpu.resample import downsample, upsample
from optreg.kernels.gpu.similarity import lncc, ssd
from optreg.kernels.gpu.smooth import box_filter, gaussian_filter
from optreg.kernels.gpu.unfold import smooth_marked
from optreg.kernels.gpu.warp import compose, map_field, warp, warp_labels, warp_nearest

__all__ = ["Engine", "bind"]

_FUNCTIONS = (
    box_filter,
    compose,
    compose_step,
    convex_step,
    cost_volume,
    cubic_at,
    downsample,
    folding_sums,
    gaussian_filter,
    invert,
    invert_at,
    jacobian_determinant,
    jacobian_determinants,
    landing,
    lncc,
    map_field,
    mind_ssc,
    minimum_determinant,
    minimum_determinant_at,
    next_step,
    relax_volume,
    root_mean_square,
    smooth_marked,
    spline_coefficients,
    spread,
    ssd,
    upsample,
    warp,
    warp_labels,
    warp_nearest,
)


def bind(engine: Engine) -> SimpleNamespace:
    """The kernels of one engine, as the other backends have them."""
    return SimpleNamespace(**{f.__name__: partial(f, engine) for f in _FUNCTIONS})
