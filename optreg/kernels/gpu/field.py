"""Operations on displacement fields inside the optimizer: step, norm, volume regularization."""

from __future__ import annotations

__all__ = ["compose_step", "next_step", "relax_volume", "root_mean_square"]

_PARTS = 2**16
"""Threads that share a sum: enough to keep a device busy, few enough to add up what they found."""


def compose_step(engine, force, step, tau, field, out):
    """Advance a field by one bounded step; see ``kernels.cpu.field``.

    `step` and `tau` may be numbers, or arrays without axes on the device.
    """
    xp, shape = engine.xp, field.shape[1:]
    step, tau = xp.asarray(step, xp.float32), xp.asarray(tau, xp.float32)
    engine.require_shapes("compose_step", *((v, (3, *shape)) for v in (force, field, out)))
    engine.launch("compose_step", force[0].size, force, step, tau, field, *shape, out)
    return out


def root_mean_square(engine, force):
    """Root mean square length of the vectors that are not (nearly) zero, as an array without axes:
    nothing waits for it.
    """
    xp = engine.xp
    voxels = force[0].size
    parts = min(voxels, _PARTS)
    sums, counts = engine.empty((2, parts), xp.float64)
    engine.launch("square_sums", parts, force, voxels, parts, sums, counts)
    return xp.sqrt(sums.sum() / xp.maximum(counts.sum(), 1))


def next_step(engine, value, norm, longest, decay, tau, floor, state, values, steps):
    """Choose the step of an iteration; see ``kernels.reference.field``.

    `value` and `norm` may be numbers, or arrays without axes on the device.
    """
    xp = engine.xp
    found = xp.asarray(value, xp.float64), xp.asarray(norm, xp.float64)
    course = longest, decay, tau, floor
    engine.launch("next_step", 1, *found, *course, state, len(values), values, steps)


def relax_volume(engine, disp, weight, work, floor=0.05):
    """``disp += weight * grad(log J)`` in place; see ``kernels.cpu.field``."""
    shape = disp.shape[1:]
    engine.require_shapes("relax_volume", (work, shape), (disp, (3, *shape)))
    engine.launch("log_jacobian", work.size, disp, *shape, floor, work)
    engine.launch("add_gradient", work.size, work, weight, *shape, disp)
    return disp
