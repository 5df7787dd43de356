"""Operations on displacement fields inside the optimizer: step, norm, volume regularization."""

from __future__ import annotations

import numpy as np
from numba import prange

from optreg.kernels.cpu._jit import inline_jit, parallel_jit
from optreg.kernels.reference.field import next_step

__all__ = ["compose_step", "next_step", "relax_volume", "root_mean_square"]


@inline_jit
def _step_row(force, x, y, step, tau, s):
    """Bounded step of one row: s (3, Z)."""
    fx, fy, fz = force[0, x, y], force[1, x, y], force[2, x, y]
    for z in range(s.shape[1]):
        square = fx[z] * fx[z] + fy[z] * fy[z] + fz[z] * fz[z]
        scale = step / np.sqrt(square + tau * tau)
        s[0, z], s[1, z], s[2, z] = scale * fx[z], scale * fy[z], scale * fz[z]


@inline_jit
def _along(before, here, after, s, out):
    """Linear interpolation of rows at a displacement of at most one voxel across them."""
    zero = np.float32(0.0)
    for z in range(out.shape[0]):
        ahead, behind = max(s[z], zero), max(-s[z], zero)
        out[z] = here[z] + ahead * (after[z] - here[z]) + behind * (before[z] - here[z])


@inline_jit
def _add(row, s):
    for z in range(row.shape[0]):
        row[z] += s[z]


@parallel_jit
def _compose_step(force, step, tau, field, out):
    _, nx, ny, nz = field.shape
    for x in prange(nx):
        xm, xp = max(x - 1, 0), min(x + 1, nx - 1)
        s, u = np.empty((3, ny, nz), np.float32), np.empty((3, ny, nz), np.float32)
        line = np.empty(nz + 2, np.float32)
        inner = line[1 : nz + 1]
        for y in range(ny):
            _step_row(force, x, y, step, tau, s[:, y])
            for c in range(3):
                _along(field[c, xm, y], field[c, x, y], field[c, xp, y], s[0, y], u[c, y])
            _add(u[0, y], s[0, y])
        for y in range(ny):
            ym, yp = max(y - 1, 0), min(y + 1, ny - 1)
            for c in range(3):
                _along(u[c, ym], u[c, y], u[c, yp], s[1, y], inner)
                if c == 1:
                    _add(inner, s[1, y])
                line[0], line[nz + 1] = line[1], line[nz]
                _along(line[:nz], inner, line[2:], s[2, y], out[c, x, y])
            _add(out[2, x, y], s[2, y])


@parallel_jit
def _square_sums(force, sums, counts):
    for x in prange(force.shape[1]):
        total = 0.0
        count = 0
        for y in range(force.shape[2]):
            row = np.float32(0.0)
            for z in range(force.shape[3]):
                a, b, c = force[0, x, y, z], force[1, x, y, z], force[2, x, y, z]
                square = a * a + b * b + c * c
                row += square
                count += square > np.float32(1e-20)
            total += row
        sums[x], counts[x] = total, count


@parallel_jit
def _log_jacobian(disp, floor, out):
    _, nx, ny, nz = disp.shape
    h, one = np.float32(0.5), np.float32(1.0)
    u, v, w = disp[0], disp[1], disp[2]
    for x in prange(nx):
        xm, xp = max(x - 1, 0), min(x + 1, nx - 1)
        for y in range(ny):
            ym, yp = max(y - 1, 0), min(y + 1, ny - 1)
            row = out[x, y]
            for z in range(1, nz - 1):
                a = one + h * (u[xp, y, z] - u[xm, y, z])
                b = h * (u[x, yp, z] - u[x, ym, z])
                c = h * (u[x, y, z + 1] - u[x, y, z - 1])
                d = h * (v[xp, y, z] - v[xm, y, z])
                e = one + h * (v[x, yp, z] - v[x, ym, z])
                f = h * (v[x, y, z + 1] - v[x, y, z - 1])
                g = h * (w[xp, y, z] - w[xm, y, z])
                i = h * (w[x, yp, z] - w[x, ym, z])
                k = one + h * (w[x, y, z + 1] - w[x, y, z - 1])
                j = a * (e * k - f * i) - b * (d * k - f * g) + c * (d * i - e * g)
                row[z] = max(j, floor)
            row[0] = row[nz - 1] = one
            for z in range(nz):
                row[z] = np.log(row[z])


@parallel_jit
def _add_gradient(disp, potential, factor):
    _, nx, ny, nz = disp.shape
    h = np.float32(0.5) * factor
    for x in prange(nx):
        xm, xp = max(x - 1, 0), min(x + 1, nx - 1)
        for y in range(ny):
            ym, yp = max(y - 1, 0), min(y + 1, ny - 1)
            px0, px1 = potential[xm, y], potential[xp, y]
            py0, py1, pz = potential[x, ym], potential[x, yp], potential[x, y]
            u, v, w = disp[0, x, y], disp[1, x, y], disp[2, x, y]
            for z in range(1, nz - 1):
                u[z] += h * (px1[z] - px0[z])
                v[z] += h * (py1[z] - py0[z])
                w[z] += h * (pz[z + 1] - pz[z - 1])


def compose_step(force, step, tau, field, out):
    """Advance a displacement field by one bounded step along a force.

    The step is ``s = step * force / sqrt(|force|^2 + tau^2)``, never longer than `step` voxels.
    It is taken one axis after the other: ``field`` becomes ``s_x + field(x + s_x)`` for the
    x component of the step alone, then likewise for y and z. To first order that is the
    composition with the whole step; as a composition of three maps it is as invertible. And as
    each needs the two neighbours of a voxel only, there is nothing to gather.

    Parameters
    ----------
    force : ndarray (3, X, Y, Z)
        Direction of ascent, any unit.
    step : float
        Largest step in voxels, at most 1.
    tau : float
        Length of the force at which the step is ``step / sqrt(2)``; more than 0.
    field : ndarray (3, X, Y, Z)
        Displacement in voxels.
    out : ndarray (3, X, Y, Z)
        Neither of the inputs.
    """
    _compose_step(force, np.float32(step), np.float32(tau), field, out)
    return out


def root_mean_square(force):
    """Root mean square length of the vectors (3, X, Y, Z) that are not (nearly) zero."""
    sums = np.empty(force.shape[1], np.float64)
    counts = np.empty(force.shape[1], np.int64)
    _square_sums(force, sums, counts)
    return float(np.sqrt(sums.sum() / max(int(counts.sum()), 1)))


def relax_volume(disp, weight, work, floor=0.05):
    """Even out local volume change in place: ``disp += weight * grad(log J)``.

    One explicit descent step on ``1/2 * integral of (log J)^2`` to first order in the
    displacement gradient. Diffusion punishes every gradient; this one acts on compression and
    expansion alone, so structures may slide along each other.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
        Displacement in voxels, changed in place (but for the first and last z).
    weight : float
        Step; stable below 0.6.
    work : ndarray (X, Y, Z)
        Scratch; holds log J (central differences) afterwards.
    floor : float
        Smallest determinant; folded voxels count as this.
    """
    _log_jacobian(disp, np.float32(floor), work)
    _add_gradient(disp, work, np.float32(weight))
    return disp
