"""Jacobian determinants of ``x + disp(x)`` by finite differences: numba.

Same names, signatures and definitions as ``kernels.reference.jacobian``. Determinants are made
row by row in a small buffer and reduced there, so that the minimum over the ten and the folding
sums need no volume beside ``disp``. Arithmetic is float64 per voxel: the kernels are bound by
memory, and the sign of a determinant near zero decides whether a field counts as folded.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from optreg.kernels.cpu._jit import jit, parallel_jit
from optreg.kernels.reference.jacobian import CORNERS, FoldingSums

__all__ = [
    "CORNERS",
    "FoldingSums",
    "folding_sums",
    "jacobian_determinant",
    "jacobian_determinants",
    "minimum_determinant",
]


@jit
def _load_rows(disp, x, y, rows):
    """Copy the seven rows a voxel row needs to ``rows`` (7, 3, Z + 2), ends repeated.

    Order: p, p-x, p+x, p-y, p+y, p-x-y, p+x+y. Indices are clamped: what lies outside is
    overwritten by the caller, the padding only keeps the inner loop free of cases.
    """
    _, nx, ny, nz = disp.shape
    xm, xp, ym, yp = max(x - 1, 0), min(x + 1, nx - 1), max(y - 1, 0), min(y + 1, ny - 1)
    for c in range(3):
        f = disp[c]
        sources = (f[x, y], f[xm, y], f[xp, y], f[x, ym], f[x, yp], f[xm, ym], f[xp, yp])
        for k in range(7):
            source, target = sources[k], rows[k, c]
            for z in range(nz):
                target[z + 1] = source[z]
            target[0], target[nz + 1] = source[0], source[nz - 1]


@jit
def _det(ax, ay, az, bx, by, bz, cx, cy, cz):
    return ax * (by * cz - bz * cy) - ay * (bx * cz - bz * cx) + az * (bx * cy - by * cx)


@jit
def _corner_row(rows, ten):
    """Eight forward / backward determinants of a row, in the order of ``CORNERS``."""
    one = np.float64(1.0)
    p, mx, px, my, py = rows[0], rows[1], rows[2], rows[3], rows[4]
    for z in range(ten.shape[1]):
        q = z + 1
        u, v, w = np.float64(p[0, q]), np.float64(p[1, q]), np.float64(p[2, q])
        # Edges towards both neighbours along each axis (backward ones in forward direction).
        fx0, fx1, fx2 = px[0, q] - u + one, px[1, q] - v, px[2, q] - w
        bx0, bx1, bx2 = u - mx[0, q] + one, v - mx[1, q], w - mx[2, q]
        fy0, fy1, fy2 = py[0, q] - u, py[1, q] - v + one, py[2, q] - w
        by0, by1, by2 = u - my[0, q], v - my[1, q] + one, w - my[2, q]
        fz0, fz1, fz2 = p[0, q + 1] - u, p[1, q + 1] - v, p[2, q + 1] - w + one
        bz0, bz1, bz2 = u - p[0, q - 1], v - p[1, q - 1], w - p[2, q - 1] + one
        ten[0, z] = _det(fx0, fx1, fx2, fy0, fy1, fy2, fz0, fz1, fz2)
        ten[1, z] = _det(fx0, fx1, fx2, fy0, fy1, fy2, bz0, bz1, bz2)
        ten[2, z] = _det(fx0, fx1, fx2, by0, by1, by2, fz0, fz1, fz2)
        ten[3, z] = _det(fx0, fx1, fx2, by0, by1, by2, bz0, bz1, bz2)
        ten[4, z] = _det(bx0, bx1, bx2, fy0, fy1, fy2, fz0, fz1, fz2)
        ten[5, z] = _det(bx0, bx1, bx2, fy0, fy1, fy2, bz0, bz1, bz2)
        ten[6, z] = _det(bx0, bx1, bx2, by0, by1, by2, fz0, fz1, fz2)
        ten[7, z] = _det(bx0, bx1, bx2, by0, by1, by2, bz0, bz1, bz2)


@jit
def _star_row(rows, ten):
    """J*1 and J*2 of a row. Their edges are diagonals of the faces of a cube."""
    one = np.float64(1.0)
    p, mx, px, my, py, mm, pp = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6]
    for z in range(ten.shape[1]):
        q = z + 1
        u, v, w = np.float64(p[0, q]), np.float64(p[1, q]), np.float64(p[2, q])
        ax, ay, az = pp[0, q] - u + one, pp[1, q] - v + one, pp[2, q] - w
        bx, by, bz = py[0, q + 1] - u, py[1, q + 1] - v + one, py[2, q + 1] - w + one
        cx, cy, cz = px[0, q + 1] - u + one, px[1, q + 1] - v, px[2, q + 1] - w + one
        ten[8, z] = _det(ax, ay, az, bx, by, bz, cx, cy, cz)
        ax, ay, az = u - mm[0, q] + one, v - mm[1, q] + one, w - mm[2, q]
        bx, by, bz = u - my[0, q - 1], v - my[1, q - 1] + one, w - my[2, q - 1] + one
        cx, cy, cz = u - mx[0, q - 1] + one, v - mx[1, q - 1], w - mx[2, q - 1] + one
        ten[9, z] = _det(ax, ay, az, bx, by, bz, cx, cy, cz)


@jit
def _ten_row(disp, x, y, rows, ten):
    """Fill ``ten`` (10, Z) for the row (x, y); infinity where a point outside is needed."""
    _, nx, ny, nz = disp.shape
    _load_rows(disp, x, y, rows)
    _corner_row(rows, ten)
    _star_row(rows, ten)
    outside = np.inf
    for k in range(10):
        # Bits of k < 8 read as in CORNERS: 4, 2, 1 set mean backward along x, y, z.
        backward = k == 9
        back_x = backward or (k < 8 and k & 4 != 0)
        back_y = backward or (k < 8 and k & 2 != 0)
        back_z = backward or (k < 8 and k & 1 != 0)
        if x == (0 if back_x else nx - 1) or y == (0 if back_y else ny - 1):
            ten[k, :] = outside
        else:
            ten[k, 0 if back_z else nz - 1] = outside


@jit
def _central_row(disp, x, y, rows, scale_z, row):
    """Central-difference determinant of a row from ``rows`` as left by ``_load_rows``."""
    _, nx, ny, nz = disp.shape
    one = np.float64(1.0)
    # Clamped neighbours give a one-sided difference at the border, over one voxel not two.
    scale_x = 0.5 if 0 < x < nx - 1 else 1.0
    scale_y = 0.5 if 0 < y < ny - 1 else 1.0
    p, mx, px, my, py = rows[0], rows[1], rows[2], rows[3], rows[4]
    for z in range(nz):
        q, sz = z + 1, scale_z[z]
        ax = scale_x * (np.float64(px[0, q]) - mx[0, q]) + one
        ay = scale_x * (np.float64(px[1, q]) - mx[1, q])
        az = scale_x * (np.float64(px[2, q]) - mx[2, q])
        bx = scale_y * (np.float64(py[0, q]) - my[0, q])
        by = scale_y * (np.float64(py[1, q]) - my[1, q]) + one
        bz = scale_y * (np.float64(py[2, q]) - my[2, q])
        cx = sz * (np.float64(p[0, q + 1]) - p[0, q - 1])
        cy = sz * (np.float64(p[1, q + 1]) - p[1, q - 1])
        cz = sz * (np.float64(p[2, q + 1]) - p[2, q - 1]) + one
        row[z] = _det(ax, ay, az, bx, by, bz, cx, cy, cz)


@jit
def _scale_z(nz):
    scale = np.full(nz, 0.5)
    scale[0] = scale[nz - 1] = 1.0
    return scale


@parallel_jit
def _central(disp, out):
    _, nx, ny, nz = disp.shape
    for x in prange(nx):
        rows = np.empty((7, 3, nz + 2), disp.dtype)
        scale_z = _scale_z(nz)
        for y in range(ny):
            _load_rows(disp, x, y, rows)
            _central_row(disp, x, y, rows, scale_z, out[x, y])


@parallel_jit
def _all(disp, out):
    _, nx, ny, nz = disp.shape
    for x in prange(nx):
        rows = np.empty((7, 3, nz + 2), disp.dtype)
        ten = np.empty((10, nz), np.float64)
        for y in range(ny):
            _ten_row(disp, x, y, rows, ten)
            for k in range(10):
                for z in range(nz):
                    out[k, x, y, z] = ten[k, z]


@parallel_jit
def _minimum(disp, out):
    _, nx, ny, nz = disp.shape
    for x in prange(nx):
        rows = np.empty((7, 3, nz + 2), disp.dtype)
        ten = np.empty((10, nz), np.float64)
        least = np.empty(nz, np.float64)
        for y in range(ny):
            _ten_row(disp, x, y, rows, ten)
            least[:] = ten[0]
            for k in range(1, 10):
                row = ten[k]
                for z in range(nz):
                    # Once NaN, always NaN: a comparison with NaN is false either way.
                    keep = least[z] <= row[z] or least[z] != least[z]
                    least[z] = least[z] if keep else row[z]
            for z in range(nz):
                out[x, y, z] = least[z]


@parallel_jit
def _sums(disp, mask, volume, counts):
    _, nx, ny, nz = disp.shape
    for x in prange(1, nx - 1):
        rows = np.empty((7, 3, nz + 2), disp.dtype)
        ten = np.empty((10, nz), np.float64)
        central = np.empty(nz, np.float64)
        scale_z = _scale_z(nz)
        plane_volume = 0.0
        voxels = tetrahedra = folded = folded_central = 0
        for y in range(1, ny - 1):
            counted = mask[x, y]
            in_row = 0
            for z in range(1, nz - 1):
                in_row += counted[z]
            if in_row == 0:
                continue
            voxels += in_row
            _ten_row(disp, x, y, rows, ten)
            _central_row(disp, x, y, rows, scale_z, central)
            for z in range(1, nz - 1):
                if counted[z]:
                    negative = 0
                    for k in range(10):
                        value = ten[k, z]
                        if not value > 0.0:
                            plane_volume -= value
                            negative += value <= 0.0
                    tetrahedra += negative
                    folded += negative > 0
                    folded_central += central[z] <= 0.0
        volume[x] = plane_volume
        counts[x, 0], counts[x, 1] = voxels, tetrahedra
        counts[x, 2], counts[x, 3] = folded, folded_central


def _prepare(disp):
    disp = np.asarray(disp)
    dtype = disp.dtype if disp.dtype in (np.float32, np.float64) else np.float64
    return np.ascontiguousarray(disp, dtype)


def jacobian_determinant(disp, out=None):
    """Central-difference determinant, (X, Y, Z); see ``kernels.reference.jacobian``."""
    disp = _prepare(disp)
    if out is None:
        out = np.empty(disp.shape[1:], disp.dtype)
    _central(disp, out)
    return out


def jacobian_determinants(disp):
    """All ten determinants, (10, X, Y, Z); see ``kernels.reference.jacobian``."""
    disp = _prepare(disp)
    out = np.empty((10, *disp.shape[1:]), disp.dtype)
    _all(disp, out)
    return out


def minimum_determinant(disp, out=None):
    """Smallest of the ten determinants, (X, Y, Z); see ``kernels.reference.jacobian``."""
    disp = _prepare(disp)
    if out is None:
        out = np.empty(disp.shape[1:], disp.dtype)
    _minimum(disp, out)
    return out


def folding_sums(disp, mask=None):
    """``FoldingSums`` over a mask in one pass; see ``kernels.reference.jacobian``."""
    disp = _prepare(disp)
    shape = disp.shape[1:]
    mask = np.ones(shape, bool) if mask is None else np.ascontiguousarray(np.asarray(mask) != 0)
    volume = np.zeros(shape[0], np.float64)
    counts = np.zeros((shape[0], 4), np.int64)
    _sums(disp, mask, volume, counts)
    voxels, tetrahedra, folded, folded_central = (int(n) for n in counts.sum(axis=0))
    return FoldingSums(voxels, float(volume.sum()) / 12.0, tetrahedra, folded, folded_central)
