"""Sampling volumes at displaced positions; composing displacement fields.

Positions outside the grid take the value of its edge. All volumes are C-contiguous float32.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from optreg.kernels.cpu._jit import jit, parallel_jit

__all__ = ["compose", "map_field", "warp", "warp_nearest"]


@jit
def _corner(position, size):
    """Clamp a coordinate to the grid and split it into the lower corner and the fraction."""
    position = min(max(position, np.float32(0.0)), np.float32(size - 1))
    # A NaN survives the clamping and turns into some integer: it must not leave the volume.
    lower = max(min(np.int32(position), np.int32(size - 2)), np.int32(0))
    return lower, position - np.float32(lower)


@parallel_jit
def _warp(image, disp, out):
    channels, nx, ny, nz = image.shape
    stride_x, stride_y = np.int32(ny * nz), np.int32(nz)
    for x in prange(disp.shape[1]):
        for c in range(channels):
            flat = image[c].reshape(-1)
            for y in range(disp.shape[2]):
                dx, dy, dz = disp[0, x, y], disp[1, x, y], disp[2, x, y]
                row = out[c, x, y]
                for z in range(disp.shape[3]):
                    ix, fx = _corner(np.float32(x) + dx[z], nx)
                    iy, fy = _corner(np.float32(y) + dy[z], ny)
                    iz, fz = _corner(np.float32(z) + dz[z], nz)
                    # Unsigned indices spare numba's test for negative ones: the loop vectorizes.
                    a = np.uint32(ix * stride_x + iy * stride_y + iz)
                    b = np.uint32(a + stride_y)
                    d = np.uint32(a + stride_x)
                    e = np.uint32(d + stride_y)
                    one = np.uint32(1)
                    v00 = flat[a] + fz * (flat[a + one] - flat[a])
                    v01 = flat[b] + fz * (flat[b + one] - flat[b])
                    v10 = flat[d] + fz * (flat[d + one] - flat[d])
                    v11 = flat[e] + fz * (flat[e + one] - flat[e])
                    v0 = v00 + fy * (v01 - v00)
                    v1 = v10 + fy * (v11 - v10)
                    row[z] = v0 + fx * (v1 - v0)


@parallel_jit
def _compose(outer, inner, out):
    _, nx, ny, nz = outer.shape
    stride_x, stride_y = np.int32(ny * nz), np.int32(nz)
    f0, f1, f2 = outer[0].reshape(-1), outer[1].reshape(-1), outer[2].reshape(-1)
    one = np.uint32(1)
    for x in prange(inner.shape[1]):
        for y in range(inner.shape[2]):
            dx, dy, dz = inner[0, x, y], inner[1, x, y], inner[2, x, y]
            for z in range(inner.shape[3]):
                ix, fx = _corner(np.float32(x) + dx[z], nx)
                iy, fy = _corner(np.float32(y) + dy[z], ny)
                iz, fz = _corner(np.float32(z) + dz[z], nz)
                a = np.uint32(ix * stride_x + iy * stride_y + iz)
                b = np.uint32(a + stride_y)
                d = np.uint32(a + stride_x)
                e = np.uint32(d + stride_y)
                gx, gy, gz = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz
                w0, w1 = gx * gy * gz, gx * gy * fz
                w2, w3 = gx * fy * gz, gx * fy * fz
                w4, w5 = fx * gy * gz, fx * gy * fz
                w6, w7 = fx * fy * gz, fx * fy * fz
                vx = (
                    w0 * f0[a]
                    + w1 * f0[a + one]
                    + w2 * f0[b]
                    + w3 * f0[b + one]
                    + w4 * f0[d]
                    + w5 * f0[d + one]
                    + w6 * f0[e]
                    + w7 * f0[e + one]
                )
                vy = (
                    w0 * f1[a]
                    + w1 * f1[a + one]
                    + w2 * f1[b]
                    + w3 * f1[b + one]
                    + w4 * f1[d]
                    + w5 * f1[d + one]
                    + w6 * f1[e]
                    + w7 * f1[e + one]
                )
                vz = (
                    w0 * f2[a]
                    + w1 * f2[a + one]
                    + w2 * f2[b]
                    + w3 * f2[b + one]
                    + w4 * f2[d]
                    + w5 * f2[d + one]
                    + w6 * f2[e]
                    + w7 * f2[e + one]
                )
                out[0, x, y, z] = dx[z] + vx
                out[1, x, y, z] = dy[z] + vy
                out[2, x, y, z] = dz[z] + vz


@parallel_jit
def _map_field(matrix, disp, out):
    change = matrix - np.eye(4)
    for x in prange(disp.shape[1]):
        for y in range(disp.shape[2]):
            for c in range(3):
                a, b, d = matrix[c, 0], matrix[c, 1], matrix[c, 2]
                start, slope = x * change[c, 0] + y * change[c, 1] + matrix[c, 3], change[c, 2]
                dx, dy, dz = disp[0, x, y], disp[1, x, y], disp[2, x, y]
                row = out[c, x, y]
                for z in range(disp.shape[3]):
                    moved = a * np.float64(dx[z]) + b * np.float64(dy[z]) + d * np.float64(dz[z])
                    row[z] = moved + (start + slope * np.float64(z))


@parallel_jit
def _nearest(image, disp, out):
    nx, ny, nz = image.shape
    for x in prange(disp.shape[1]):
        for y in range(disp.shape[2]):
            for z in range(disp.shape[3]):
                # Half-way positions go up, as in scipy.ndimage with order 0.
                px = np.floor(x + np.float64(disp[0, x, y, z]) + 0.5)
                py = np.floor(y + np.float64(disp[1, x, y, z]) + 0.5)
                pz = np.floor(z + np.float64(disp[2, x, y, z]) + 0.5)
                ix = int(min(max(px, 0.0), nx - 1.0))
                iy = int(min(max(py, 0.0), ny - 1.0))
                out[x, y, z] = image[ix, iy, int(min(max(pz, 0.0), nz - 1.0))]


def warp(image, disp, out=None):
    """Linear interpolation ``image(x + disp(x))``.

    Parameters
    ----------
    image : ndarray (X, Y, Z) or (C, X, Y, Z)
        Volume, or channels that are sampled at the same positions. At least 2 voxels an axis.
    disp : ndarray (3, X', Y', Z')
        Displacement in voxels.
    out : ndarray (X', Y', Z') or (C, X', Y', Z'), optional

    Returns
    -------
    ndarray
        `out`, or a new array.
    """
    shape = image.shape[:-3] + disp.shape[1:]
    out = np.empty(shape, np.float32) if out is None else out
    _warp(image.reshape((-1, *image.shape[-3:])), disp, out.reshape((-1, *disp.shape[1:])))
    return out


def warp_nearest(image, disp, out=None):
    """Value of the voxel nearest to ``x + disp(x)``; any dtype. See `warp`."""
    out = np.empty(disp.shape[1:], image.dtype) if out is None else out
    _nearest(image, disp, out)
    return out


def compose(outer, inner, out=None):
    """Displacement of `inner` followed by `outer`: ``inner(x) + outer(x + inner(x))``.

    Parameters
    ----------
    outer, inner : ndarray (3, X, Y, Z)
        Displacements in voxels of one grid.
    out : ndarray (3, X, Y, Z), optional
        Neither of the inputs.
    """
    out = np.empty_like(inner) if out is None else out
    _compose(outer, inner, out)
    return out


def map_field(matrix, disp):
    """Displacements ``matrix(x + disp(x)) - x``: `disp` followed by a change of voxel positions.

    Parameters
    ----------
    matrix : ndarray (4, 4)
    disp : ndarray (3, X, Y, Z)
        Displacement in voxels.

    Returns
    -------
    ndarray (3, X, Y, Z) float32
        Of positions in float64, rounded once.
    """
    out = np.empty(disp.shape, np.float32)
    _map_field(np.ascontiguousarray(matrix, np.float64), disp, out)
    return out
