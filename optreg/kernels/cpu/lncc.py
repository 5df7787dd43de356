"""Squared local normalized cross-correlation and its exact gradient, streamed plane by plane.

Each thread walks through its own block of x planes and keeps only 2 r + 1 planes of running
statistics, so that a call reads two volumes and writes the forces: nothing in between goes
through main memory. Sums over windows are taken directly and always in the same order (no
running sums), hence the result does not depend on how planes are dealt out to threads.
"""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, prange

from optreg.kernels.cpu._jit import inline_jit, parallel_jit

__all__ = ["lncc"]


@inline_jit
def _box_row(line, radius, out):
    """Box sum along z of a row that is padded by `radius` zeros at both ends."""
    out[:] = line[: out.shape[0]]
    for k in range(1, 2 * radius + 1):
        row = line[k:]
        for z in range(out.shape[0]):
            out[z] += row[z]


@inline_jit
def _box_plane(plane, radius, stride, line, out):
    """Box sum over y and z of one (Y, Z) plane at every `stride`-th y; outside counts as zero."""
    ny, nz = plane.shape
    inner = line[radius : radius + nz]
    for h in range(out.shape[0]):
        y = h * stride
        low, high = max(y - radius, 0), min(y + radius, ny - 1)
        inner[:] = plane[low]
        for k in range(low + 1, high + 1):
            row = plane[k]
            for z in range(nz):
                inner[z] += row[z]
        _box_row(line, radius, out[h])


@inline_jit
def _spread_plane(plane, count, radius, stride, line, work, out):
    """Transpose of `_box_plane`: each y takes the sum along z of all rows it is within."""
    ny, nz = out.shape
    for h in range(count):
        line[radius : radius + nz] = plane[h]
        _box_row(line, radius, work[h])
    for y in range(ny):
        low = (max(y - radius, 0) + stride - 1) // stride
        high = min((y + radius) // stride, count - 1)
        target = out[y]
        target[:] = work[low]
        for h in range(low + 1, high + 1):
            row = work[h]
            for z in range(nz):
                target[z] += row[z]


@inline_jit
def _products(f, m, planes):
    for y in range(f.shape[0]):
        a, b = f[y], m[y]
        p2, p3, p4 = planes[2, y], planes[3, y], planes[4, y]
        planes[0, y, :] = a
        planes[1, y, :] = b
        for z in range(f.shape[1]):
            p2[z] = a[z] * a[z]
            p3[z] = b[z] * b[z]
            p4[z] = a[z] * b[z]


@inline_jit
def _weighted_products(f, m, w, planes):
    for y in range(f.shape[0]):
        a, b, c = f[y], m[y], w[y]
        p0, p1, p2, p3, p4 = planes[0, y], planes[1, y], planes[2, y], planes[3, y], planes[4, y]
        planes[5, y, :] = c
        for z in range(f.shape[1]):
            p0[z] = c[z] * a[z]
            p1[z] = c[z] * b[z]
            p2[z] = p0[z] * a[z]
            p3[z] = p1[z] * b[z]
            p4[z] = p0[z] * b[z]


@inline_jit
def _ring_sum(ring, first, last, stride, y, rows):
    """Add the planes `first` to `last` that are in the ring, in their order, for one row."""
    size = ring.shape[1]
    low, high = (first + stride - 1) // stride, last // stride
    for j in range(ring.shape[0]):
        target = rows[j]
        target[:] = ring[j, low % size, y]
        for k in range(low + 1, high + 1):
            row = ring[j, k % size, y]
            for z in range(target.shape[0]):
                target[z] += row[z]


@inline_jit
def _coefficients(rows, y, inv_n, eps, planes):
    """Turn window sums into the factors of the correlation's derivatives; the sum of its values.

    The first row of the sums is used up.
    """
    s0, s1, s2, s3, s4 = rows[0], rows[1], rows[2], rows[3], rows[4]
    c0, c1, c2, c3, c4 = planes[0, y], planes[1, y], planes[2, y], planes[3, y], planes[4, y]
    total = np.float64(0.0)
    for z in range(s0.shape[0]):
        mf, mm = s0[z] * inv_n, s1[z] * inv_n
        vf = max(s2[z] * inv_n - mf * mf, np.float32(0.0))
        vm = max(s3[z] * inv_n - mm * mm, np.float32(0.0))
        cov = s4[z] * inv_n - mf * mm
        inv = np.float32(1.0) / (vf * vm + eps)
        a = np.float32(2.0) * cov * inv
        square = np.float32(0.5) * a * a
        bf, bm = -square * vm, -square * vf
        c0[z] = a
        c1[z] = bf
        c2[z] = bm
        c3[z] = a * mm + bf * mf
        c4[z] = a * mf + bm * mm
        s0[z] = cov * cov * inv
    for z in range(s0.shape[0]):
        total += np.float64(s0[z])
    return total


@inline_jit
def _weighted_coefficients(rows, y, inv_n, eps, planes):
    """The same where sums are of weighted values and the last row is that of the weights."""
    values, weights = rows[0], rows[5]
    for j in range(5):
        row = rows[j]
        for z in range(row.shape[0]):
            row[z] /= max(weights[z], np.float32(1e-30))
    _coefficients(rows, y, np.float32(1.0), eps, planes)
    total = np.float64(0.0)
    for z in range(values.shape[0]):
        total += np.float64(values[z] * weights[z] * inv_n)
    return total


@inline_jit
def _drive(rows, f, m, y, scale, out):
    """Derivative of the value by a row of the moving image and minus that by the fixed one."""
    a, bf, bm, gf, gm = rows[0], rows[1], rows[2], rows[3], rows[4]
    i, o, kf, km = f[y], m[y], out[0], out[1]
    for z in range(i.shape[0]):
        kf[z] = -scale * (a[z] * o[z] + bf[z] * i[z] - gf[z])
        km[z] = scale * (a[z] * i[z] + bm[z] * o[z] - gm[z])


@inline_jit
def _add_force(image, x, y, drive, out):
    """Add the derivative times the central differences of the image to one row of the force."""
    nx, ny, nz = image.shape
    i = image[x, y]
    xl, xh = image[max(x - 1, 0), y], image[min(x + 1, nx - 1), y]
    yl, yh = image[x, max(y - 1, 0)], image[x, min(y + 1, ny - 1)]
    f0, f1, f2 = out[0, x, y], out[1, x, y], out[2, x, y]
    for z in range(nz):
        f0[z] += drive[z] * (xh[z] - xl[z])
        f1[z] += drive[z] * (yh[z] - yl[z])
    f2[0] += drive[0] * (i[1] - i[0])
    for z in range(1, nz - 1):
        f2[z] += drive[z] * (i[z + 1] - i[z - 1])
    f2[nz - 1] += drive[nz - 1] * (i[nz - 1] - i[nz - 2])


@parallel_jit
def _lncc(fixed, moving, region, radius, stride, eps, weight, add, blocks, force, values):
    nx, ny, nz = fixed.shape
    # Decided when this is compiled: there is one kernel with weights and one without.
    sums = 5 if region is None else 6
    size = 2 * radius + 1
    lines = (ny + stride - 1) // stride
    inv_n = np.float32(1.0 / size**3)
    scale = np.float32(0.5) * inv_n * weight * np.float32(stride * stride)
    for block in prange(blocks):
        start, stop = block * nx // blocks, (block + 1) * nx // blocks
        planes = np.empty((sums, ny, nz), np.float32)
        coefficients = np.empty((5, lines, nz), np.float32)
        ring = np.empty((sums, size, lines, nz), np.float32)
        ring2 = np.empty((5, size, ny, nz), np.float32)
        work = np.empty((lines, nz), np.float32)
        rows = np.empty((sums, nz), np.float32)
        drive = np.empty((2, nz), np.float32)
        line = np.zeros(nz + 2 * radius, np.float32)
        for p in range(max(start - 2 * radius, 0), min(stop + 2 * radius, nx) + 2 * radius):
            if p < nx:
                if region is None:
                    _products(fixed[p], moving[p], planes)
                else:
                    _weighted_products(fixed[p], moving[p], region[p], planes)
                for j in range(sums):
                    _box_plane(planes[j], radius, stride, line, ring[j, p % size])
            q = p - radius
            if max(start - radius, 0) <= q < min(stop + radius, nx) and q % stride == 0:
                first, last = max(q - radius, 0), min(q + radius, nx - 1)
                total = 0.0
                for h in range(lines):
                    _ring_sum(ring, first, last, 1, h, rows)
                    if region is None:
                        total += _coefficients(rows, h, inv_n, eps, coefficients)
                    else:
                        total += _weighted_coefficients(rows, h, inv_n, eps, coefficients)
                if start <= q < stop:
                    values[q] = total
                for j in range(5):
                    out = ring2[j, q // stride % size]
                    _spread_plane(coefficients[j], lines, radius, stride, line, work, out)
            t = q - radius
            if start <= t < stop:
                first, last = max(t - radius, 0), min(t + radius, nx - 1)
                for y in range(ny):
                    _ring_sum(ring2, first, last, stride, y, rows)
                    _drive(rows, fixed[t], moving[t], y, scale, drive)
                    if region is not None:
                        drive *= region[t, y]
                    if not add:
                        force[:, t, y] = 0.0
                    _add_force(fixed, t, y, drive[0], force)
                    _add_force(moving, t, y, drive[1], force)


def lncc(fixed, moving, radius, eps, force, weight=1.0, add=False, stride=1, region=None):
    """Squared local normalized cross-correlation of two volumes and the force between them.

    The value is the mean over all voxels of ``cov^2 / (var_f var_m + eps)``, statistics being
    taken over cubes of (2 r + 1)^3 voxels (zero outside the grid). The force is the ascent
    direction for the displacement of `moving` against `fixed`: the exact derivative of the sum of
    these values by each voxel of `moving` times the central differences of `moving`, minus the
    same of `fixed` (Avants et al. 2008, doi 10.1016/j.media.2007.06.004).

    Parameters
    ----------
    fixed, moving : ndarray (X, Y, Z)
        Warped images, intensities of order one.
    radius : int
        Of the window, in voxels.
    eps : float
        Product of variances under which a window counts as flat.
    force : ndarray (3, X, Y, Z)
        Result.
    weight : float
        Factor of the force.
    add : bool
        Add to the force instead of overwriting it.
    stride : int
        Take only the windows around every `stride`-th voxel along x and y; they overlap as long
        as it is at most the radius. The force is scaled up to that of all windows.
    region : ndarray (X, Y, Z), optional
        How much each voxel counts, 0..1. What does not count is not in the statistics of any
        window either; a window counts by the mean over its voxels. Without, all voxels count, and
        so do the zeros outside the grid.

    Returns
    -------
    float
        Mean squared correlation, between 0 and 1.
    """
    values = np.zeros(fixed.shape[0], np.float64)
    blocks = min(get_num_threads(), fixed.shape[0])
    eps, weight = np.float32(eps), np.float32(weight)
    _lncc(fixed, moving, region, radius, stride, eps, weight, add, blocks, force, values)
    nx, ny, nz = fixed.shape
    return float(values.sum() / (-(-nx // stride) * -(-ny // stride) * nz))
