"""Inverse of a displacement field by Newton's method, voxel by voxel."""

from __future__ import annotations

import numpy as np
from numba import prange

from optreg.kernels.cpu._jit import inline_jit, parallel_jit
from optreg.kernels.cpu.marked import voxel

__all__ = ["invert", "invert_at"]


@inline_jit
def _axis(position, size):
    """Lower voxel, fraction, and 1 inside the grid: outside, the edge is repeated."""
    last = np.float32(size - 1)
    inside = np.float32(1.0) if 0 <= position <= last else np.float32(0.0)
    position = min(max(position, np.float32(0.0)), last)
    # A NaN survives the clamping and turns into some integer: it must not leave the volume.
    lower = max(min(np.int32(position), np.int32(size - 2)), np.int32(0))
    return lower, position - np.float32(lower), inside


@inline_jit
def _sample(v, ix, iy, iz, fx, fy, fz):
    """Linear interpolation of one component and its exact derivatives."""
    a, b = v[ix, iy, iz], v[ix, iy, iz + 1]
    d, e = v[ix, iy + 1, iz], v[ix, iy + 1, iz + 1]
    f, g = v[ix + 1, iy, iz], v[ix + 1, iy, iz + 1]
    h, i = v[ix + 1, iy + 1, iz], v[ix + 1, iy + 1, iz + 1]
    v00, v01 = a + fz * (b - a), d + fz * (e - d)
    v10, v11 = f + fz * (g - f), h + fz * (i - h)
    v0, v1 = v00 + fy * (v01 - v00), v10 + fy * (v11 - v10)
    slope_y = (v01 - v00) + fx * ((v11 - v10) - (v01 - v00))
    z0 = (b - a) + fy * ((e - d) - (b - a))
    z1 = (g - f) + fy * ((i - h) - (g - f))
    return v0 + fx * (v1 - v0), v1 - v0, slope_y, z0 + fx * (z1 - z0)


@inline_jit
def _newton(disp, x, y, z, w, iterations, tolerance):
    """Best inverse (three components) at one voxel, of all iterates that start at `w`."""
    _, nx, ny, nz = disp.shape
    one, half = np.float32(1.0), np.float32(0.5)
    wx, wy, wz = w
    bx, by, bz = w
    sx = sy = sz = np.float32(0.0)
    smallest, length = np.float32(np.inf), one
    for _ in range(iterations):
        ix, fx, mx = _axis(x + wx, nx)
        iy, fy, my = _axis(y + wy, ny)
        iz, fz, mz = _axis(z + wz, nz)
        u0, a, b, c = _sample(disp[0], ix, iy, iz, fx, fy, fz)
        u1, d, e, f = _sample(disp[1], ix, iy, iz, fx, fy, fz)
        u2, g, h, i = _sample(disp[2], ix, iy, iz, fx, fy, fz)
        rx, ry, rz = wx + u0, wy + u1, wz + u2
        square = rx * rx + ry * ry + rz * rz
        if square < smallest:
            smallest, bx, by, bz = square, wx, wy, wz
            if square < tolerance * tolerance:
                break
            length = min(one, length + length)
            a, b, c = one + mx * a, my * b, mz * c
            d, e, f = mx * d, one + my * e, mz * f
            g, h, i = mx * g, my * h, one + mz * i
            ca, cb, cc = e * i - f * h, f * g - d * i, d * h - e * g
            det = a * ca + b * cb + c * cc
            if det < np.float32(0.02):
                sx, sy, sz = rx, ry, rz  # close to singular: the plain residual
            else:
                k = one / det
                sx = k * (ca * rx + (c * h - b * i) * ry + (b * f - c * e) * rz)
                sy = k * (cb * rx + (a * i - c * g) * ry + (c * d - a * f) * rz)
                sz = k * (cc * rx + (b * g - a * h) * ry + (a * e - b * d) * rz)
        else:
            length *= half
        wx, wy, wz = bx - length * sx, by - length * sy, bz - length * sz
    return bx, by, bz


@parallel_jit
def _invert(disp, initial, warm, iterations, tolerance, out):
    _, nx, ny, nz = disp.shape
    for x in prange(nx):
        w0, w1, w2 = -disp[0, x, 0, 0], -disp[1, x, 0, 0], -disp[2, x, 0, 0]
        for y in range(ny):
            for z in range(nz):
                if warm:
                    w0, w1, w2 = initial[0, x, y, z], initial[1, x, y, z], initial[2, x, y, z]
                elif z == 0 and y > 0:
                    w0, w1, w2 = out[0, x, y - 1, 0], out[1, x, y - 1, 0], out[2, x, y - 1, 0]
                elif y > 0:
                    # Parallelogram of the neighbours: off by a second difference only.
                    w0 += out[0, x, y - 1, z] - out[0, x, y - 1, z - 1]
                    w1 += out[1, x, y - 1, z] - out[1, x, y - 1, z - 1]
                    w2 += out[2, x, y - 1, z] - out[2, x, y - 1, z - 1]
                w0, w1, w2 = _newton(disp, x, y, z, (w0, w1, w2), iterations, tolerance)
                out[0, x, y, z], out[1, x, y, z], out[2, x, y, z] = w0, w1, w2


@parallel_jit
def _invert_at(disp, marked, iterations, tolerance, inverse):
    _, _, ny, nz = disp.shape
    for n in prange(len(marked)):
        x, y, z = voxel(marked[n], ny, nz)
        w = inverse[0, x, y, z], inverse[1, x, y, z], inverse[2, x, y, z]
        w = _newton(disp, x, y, z, w, iterations, tolerance)
        inverse[0, x, y, z], inverse[1, x, y, z], inverse[2, x, y, z] = w


def invert(disp, initial=None, iterations=30, tolerance=1e-3, out=None):
    """Inverse displacement: ``v`` with ``v(x) + disp(x + v(x)) = 0``.

    Damped Newton iterations on the linear interpolant of `disp`, which converge wherever the
    transformation is locally invertible; a fixed-point iteration needs a contraction, and the
    shear along a sulcus is none.

    Parameters
    ----------
    disp : ndarray (3, X, Y, Z)
        Displacement in voxels.
    initial : ndarray (3, X, Y, Z), optional
        First guess; without one, each voxel starts from its neighbours.
    iterations : int
        At the most, per voxel.
    tolerance : float
        A voxel is done when its residual is below, in voxels.
    out : ndarray (3, X, Y, Z), optional

    Returns
    -------
    ndarray (3, X, Y, Z)
        Best found; outside the grid `disp` is taken to repeat its edge.
    """
    out = np.empty_like(disp) if out is None else out
    guess = disp if initial is None else initial
    _invert(disp, guess, initial is not None, iterations, np.float32(tolerance), out)
    return out


def invert_at(disp, marked, inverse, iterations=30, tolerance=1e-3):
    """`invert` at some voxels only, starting from the inverse they have, in place.

    Parameters
    ----------
    disp, inverse : ndarray (3, X, Y, Z)
        Displacement and the inverse that is updated, in voxels.
    marked : ndarray (N,) of int64
        Flat indices of voxels, each at most once.
    """
    _invert_at(disp, marked, iterations, np.float32(tolerance), inverse)
    return inverse
