"""Inverse of a displacement field by Newton's method, voxel by voxel."""

from __future__ import annotations

import numpy as np
from numba import prange

from optreg.kernels.cpu._jit import jit, parallel_jit

__all__ = ["invert"]


@jit
def _sample(disp, px, py, pz, value, slope):
    """Linear interpolation of the field and its exact derivatives at one position."""
    _, nx, ny, nz = disp.shape
    # Outside, the edge is repeated: the field does not change along that axis.
    free_x, free_y, free_z = 0 <= px <= nx - 1, 0 <= py <= ny - 1, 0 <= pz <= nz - 1
    px = min(max(px, np.float32(0.0)), np.float32(nx - 1))
    py = min(max(py, np.float32(0.0)), np.float32(ny - 1))
    pz = min(max(pz, np.float32(0.0)), np.float32(nz - 1))
    ix, iy, iz = min(int(px), nx - 2), min(int(py), ny - 2), min(int(pz), nz - 2)
    fx, fy, fz = px - np.float32(ix), py - np.float32(iy), pz - np.float32(iz)
    for c in range(3):
        v = disp[c]
        a, b = v[ix, iy, iz], v[ix, iy, iz + 1]
        d, e = v[ix, iy + 1, iz], v[ix, iy + 1, iz + 1]
        f, g = v[ix + 1, iy, iz], v[ix + 1, iy, iz + 1]
        h, i = v[ix + 1, iy + 1, iz], v[ix + 1, iy + 1, iz + 1]
        v00, v01 = a + fz * (b - a), d + fz * (e - d)
        v10, v11 = f + fz * (g - f), h + fz * (i - h)
        v0, v1 = v00 + fy * (v01 - v00), v10 + fy * (v11 - v10)
        value[c] = v0 + fx * (v1 - v0)
        slope[c, 0] = v1 - v0
        slope[c, 1] = (v01 - v00) + fx * ((v11 - v10) - (v01 - v00))
        z0 = (b - a) + fy * ((e - d) - (b - a))
        z1 = (g - f) + fy * ((i - h) - (g - f))
        slope[c, 2] = z0 + fx * (z1 - z0)
        if not free_x:
            slope[c, 0] = 0.0
        if not free_y:
            slope[c, 1] = 0.0
        if not free_z:
            slope[c, 2] = 0.0


@jit
def _solve(slope, r, step):
    """``step = (1 + slope)^-1 r``; the plain residual where the matrix is close to singular."""
    one = np.float32(1.0)
    a, b, c = one + slope[0, 0], slope[0, 1], slope[0, 2]
    d, e, f = slope[1, 0], one + slope[1, 1], slope[1, 2]
    g, h, i = slope[2, 0], slope[2, 1], one + slope[2, 2]
    ca, cb, cc = e * i - f * h, f * g - d * i, d * h - e * g
    det = a * ca + b * cb + c * cc
    if det < np.float32(0.02):
        step[0], step[1], step[2] = r[0], r[1], r[2]
        return
    k = one / det
    step[0] = k * (ca * r[0] + (c * h - b * i) * r[1] + (b * f - c * e) * r[2])
    step[1] = k * (cb * r[0] + (a * i - c * g) * r[1] + (c * d - a * f) * r[2])
    step[2] = k * (cc * r[0] + (b * g - a * h) * r[1] + (a * e - b * d) * r[2])


@parallel_jit
def _newton(disp, initial, warm, iterations, tolerance, out):
    _, nx, ny, nz = disp.shape
    for x in prange(nx):
        value, r = np.empty(3, np.float32), np.empty(3, np.float32)
        step, best = np.empty(3, np.float32), np.empty(3, np.float32)
        slope = np.empty((3, 3), np.float32)
        w = np.zeros(3, np.float32)
        for y in range(ny):
            for z in range(nz):
                if warm:
                    w[:] = initial[:, x, y, z]
                elif z == 0:
                    w[:] = -disp[:, x, y, 0]
                # Else the solution of the neighbour: its error is the change over one voxel.
                smallest = np.float32(np.inf)
                length = np.float32(1.0)
                for _ in range(iterations):
                    _sample(disp, x + w[0], y + w[1], z + w[2], value, slope)
                    for c in range(3):
                        r[c] = w[c] + value[c]
                    square = r[0] * r[0] + r[1] * r[1] + r[2] * r[2]
                    if square < smallest:
                        smallest = square
                        best[:] = w
                        length = min(np.float32(1.0), length * np.float32(2.0))
                        if square < tolerance * tolerance:
                            break
                        _solve(slope, r, step)
                    else:
                        length *= np.float32(0.5)
                    for c in range(3):
                        w[c] = best[c] - length * step[c]
                w[:] = best
                out[:, x, y, z] = best


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
        First guess; without one, each voxel starts from its neighbour.
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
    _newton(disp, guess, initial is not None, iterations, np.float32(tolerance), out)
    return out
