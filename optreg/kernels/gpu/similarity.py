"""Local correlation and squared difference, with their forces.

Values are arrays without axes on the device: whoever wants a number waits for it.
"""

from __future__ import annotations

__all__ = ["lncc", "ssd"]


def lncc(engine, fixed, moving, radius, eps, force, weight=1.0, add=False, stride=1, region=None):
    """Squared local normalized cross-correlation and its force; see ``kernels.cpu.lncc``."""
    nx, ny, nz = fixed.shape
    planes, lines = -(-nx // stride), -(-ny // stride)
    windows = planes * lines * nz
    weights, weighted = _weights(engine, fixed, moving, force, region)
    sums = engine.empty((6 if weighted else 5, nx, lines, nz))
    coefficients = engine.empty((5, planes, lines, nz))
    values = engine.empty((planes, lines, nz))
    engine.launch(
        "lncc_plane_sums", nx * lines * nz, fixed, moving, weights, weighted, radius, stride, nx,
        ny, nz, lines, sums,
    )  # fmt: skip
    engine.launch(
        "lncc_coefficients", windows, sums, weighted, radius, stride, eps, nx, lines, nz, planes,
        coefficients, values,
    )  # fmt: skip
    # The sums have been used: their memory takes the next stage.
    spread = sums.reshape(-1)[: 5 * windows]
    engine.launch("lncc_spread", 5 * windows, coefficients, radius, 5 * planes * lines, nz, spread)
    engine.launch(
        "lncc_force", fixed.size, fixed, moving, weights, weighted, spread, radius, stride, weight,
        add, nx, ny, nz, planes, lines, force,
    )  # fmt: skip
    return values.mean(dtype=engine.xp.float64)


def ssd(engine, fixed, moving, force, weight=1.0, add=False, region=None):
    """Mean squared difference and the force that lowers it; see ``kernels.cpu.ssd``."""
    values, weights = engine.empty(fixed.shape), _weights(engine, fixed, moving, force, region)
    engine.launch(
        "ssd", fixed.size, fixed, moving, *weights, weight, add, *fixed.shape, force, values
    )
    return values.mean(dtype=engine.xp.float64)


def _weights(engine, fixed, moving, force, region):
    """An array to pass for the weights, and whether the kernel is to read it."""
    shape = fixed.shape
    volumes = (moving,) if region is None else (moving, region)
    engine.require_shapes("similarity", (force, (3, *shape)), *((v, shape) for v in volumes))
    return (fixed, False) if region is None else (region, True)
