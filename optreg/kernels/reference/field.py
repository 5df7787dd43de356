"""Steps and regularization of displacement fields in NumPy."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from optreg.kernels.reference.jacobian import jacobian_determinants
from optreg.kernels.reference.similarity import _differences
from optreg.kernels.reference.warp import _result, compose


def compose_step(force, step, tau, field, out):
    """``s(x) + field(x + s(x))`` for the three components one after the other.

    ``s = step * force / sqrt(|force|^2 + tau^2)``.
    """
    length = np.sqrt((force**2).sum(axis=0) + tau**2)
    for axis in range(3):
        along = np.zeros_like(field)
        along[axis] = step * force[axis] / length
        field = compose(field, along)
    return _result(field, out)


def root_mean_square(force):
    """Root mean square length of the vectors that are not (nearly) zero."""
    square = (force.astype(np.float64) ** 2).sum(axis=0)
    return float(np.sqrt(square.sum() / max(int((square > 1e-20).sum()), 1)))


def next_step(value, norm, longest, decay, tau, floor, state, values, steps):
    """Choose the step of an iteration; what changes from one to the next is in the arrays.

    Parameters
    ----------
    value : float or array without axes
        Similarity before the step. Where it is worse than the first, the images agree and steps
        have to vanish: from then on they are half as long.
    norm : float or array without axes
        Root mean square of the force.
    longest : float
        Step in voxels.
    decay : float
        Share of it that is lost, linearly, over the iterations.
    tau, floor : float
        See `compose_step`: a multiple of `norm`, and the least it may be.
    state : ndarray (3,)
        Float64: how many iterations are done, the first value, how often steps were halved. All
        zero before the first.
    values : ndarray (iterations,)
        Float64: receives the value at its iteration.
    steps : ndarray (3,)
        Float32: receives the step of the moving image, that of the fixed one against it, and tau.
    """
    done = int(state[0])
    if done == 0:
        state[1] = value
    state[0] += 1
    state[2] += float(value) < state[1]
    values[done] = value
    length = 0.5 ** state[2] * longest * (1 - decay * done / len(values))
    steps[:] = length, -length, max(tau * float(norm), floor)


def relax_volume(disp, weight, work, floor=0.05):
    """``disp += weight * grad(log J)`` but for the first and last z, in place."""
    gradient = np.stack([_differences(c) for c in disp]) + np.eye(3)[:, :, None, None, None]
    determinant = np.linalg.det(np.moveaxis(gradient, (0, 1), (-2, -1)))
    work[...] = np.log(np.maximum(determinant, floor))
    work[..., [0, -1]] = 0
    disp[..., 1:-1] += weight * _differences(work)[..., 1:-1]
    return disp


def downsample(volume):
    """Mean of 2x2x2 blocks."""
    x, y, z = (n // 2 for n in volume.shape[-3:])
    blocks = volume.reshape((*volume.shape[:-3], x, 2, y, 2, z, 2))
    return blocks.mean(axis=(-5, -3, -1))


def upsample(volume, factor=1.0):
    """Linear interpolation at a quarter of a coarse voxel beside each centre, times `factor`."""
    shape = tuple(2 * n for n in volume.shape[-3:])
    position = (np.indices(shape) - 0.5) / 2
    channels = volume.reshape((-1, *volume.shape[-3:]))
    fine = [ndimage.map_coordinates(c, position, order=1, mode="nearest") for c in channels]
    return factor * np.stack(fine).reshape(volume.shape[:-3] + shape)


def smooth_marked(disp, marked):
    """Binomial mean of the neighbourhood at some voxels, in place."""
    kernel = np.array([0.25, 0.5, 0.25])
    smooth = disp.astype(np.float64)
    for axis in (1, 2, 3):
        smooth = ndimage.convolve1d(smooth, kernel, axis, mode="nearest")
    disp.reshape(3, -1)[:, marked] = smooth.reshape(3, -1)[:, marked]
    return disp


def minimum_determinant_at(disp, marked):
    """Smallest of the ten determinants at some voxels."""
    return jacobian_determinants(disp.astype(np.float64)).min(axis=0).reshape(-1)[marked]
