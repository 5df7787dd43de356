"""Cubic B-spline interpolation."""

from __future__ import annotations

from optreg.kernels.gpu.smooth import filter_axes
from optreg.kernels.reference.cubic import NEAR_VOX

__all__ = ["cubic_at", "spline_coefficients"]


def spline_coefficients(engine, volume):
    """Coefficients of the cubic B-spline through all voxels; see ``kernels.cpu.cubic``."""
    return filter_axes(engine, volume, (engine.spline(),) * 3)


def cubic_at(engine, volume, coefficients, disp, marked):
    """Cubic B-spline at ``x + disp(x)`` for some voxels; see ``kernels.cpu.cubic``."""
    out, count = engine.empty(marked.shape), len(marked)
    engine.launch(
        "cubic_at", count, volume, coefficients, *volume.shape, NEAR_VOX, disp, marked, count,
        *disp.shape[1:], out,
    )  # fmt: skip
    return out
