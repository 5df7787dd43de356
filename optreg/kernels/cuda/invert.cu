// Inverse of a displacement field by damped Newton iterations on its linear interpolant.

// Position along an axis, and 1 inside the grid: outside, the edge repeats and the slope is zero.
__device__ inline Position inside_grid(float position, int size, float* inside)
{
    *inside = position >= 0.0f && position <= (float)(size - 1) ? 1.0f : 0.0f;
    return locate(position, size);
}

// One component at a position, and its exact derivatives.
__device__ inline float sample_slopes(const float* v, Position x, Position y, Position z, int ny,
                                      int nz, float* by_x, float* by_y, float* by_z)
{
    const float* p = v + ((size_t)x.lower * ny + y.lower) * nz + z.lower;
    const float* q = p + (size_t)ny * nz;
    float a = p[0], b = p[1], d = p[nz], e = p[nz + 1];
    float f = q[0], g = q[1], h = q[nz], i = q[nz + 1];
    float v00 = mix(a, b, z.fraction), v01 = mix(d, e, z.fraction);
    float v10 = mix(f, g, z.fraction), v11 = mix(h, i, z.fraction);
    float v0 = mix(v00, v01, y.fraction), v1 = mix(v10, v11, y.fraction);
    *by_x = v1 - v0;
    *by_y = mix(v01 - v00, v11 - v10, x.fraction);
    *by_z = mix(mix(b - a, e - d, y.fraction), mix(g - f, i - h, y.fraction), x.fraction);
    return mix(v0, v1, x.fraction);
}

// Improve `best` (three components) at a voxel; the squared residual that is left.
__device__ inline float newton(const float* disp, Voxel at, int nx, int ny, int nz, int iterations,
                               float tolerance, float best[3])
{
    size_t n = (size_t)nx * ny * nz;
    float w0 = best[0], w1 = best[1], w2 = best[2], s0 = 0.0f, s1 = 0.0f, s2 = 0.0f;
    float smallest = (float)infinity(), length = 1.0f;
    for (int k = 0; k < iterations; ++k) {
        float in_x, in_y, in_z, a, b, c, d, e, f, g, h, i;
        Position x = inside_grid((float)at.x + w0, nx, &in_x);
        Position y = inside_grid((float)at.y + w1, ny, &in_y);
        Position z = inside_grid((float)at.z + w2, nz, &in_z);
        float r0 = w0 + sample_slopes(disp, x, y, z, ny, nz, &a, &b, &c);
        float r1 = w1 + sample_slopes(disp + n, x, y, z, ny, nz, &d, &e, &f);
        float r2 = w2 + sample_slopes(disp + 2 * n, x, y, z, ny, nz, &g, &h, &i);
        float square = r0 * r0 + r1 * r1 + r2 * r2;
        if (square < smallest) {
            smallest = square;
            best[0] = w0;
            best[1] = w1;
            best[2] = w2;
            if (square < tolerance * tolerance) break;
            length = fminf(1.0f, 2.0f * length);
            a = 1.0f + in_x * a;
            d *= in_x;
            g *= in_x;
            b *= in_y;
            e = 1.0f + in_y * e;
            h *= in_y;
            c *= in_z;
            f *= in_z;
            i = 1.0f + in_z * i;
            float ca = e * i - f * h, cb = f * g - d * i, cc = d * h - e * g;
            float det = a * ca + b * cb + c * cc;
            if (det < 0.02f) {  // close to singular: the plain residual
                s0 = r0;
                s1 = r1;
                s2 = r2;
            } else {
                float q = 1.0f / det;
                s0 = q * (ca * r0 + (c * h - b * i) * r1 + (b * f - c * e) * r2);
                s1 = q * (cb * r0 + (a * i - c * g) * r1 + (c * d - a * f) * r2);
                s2 = q * (cc * r0 + (b * g - a * h) * r1 + (a * e - b * d) * r2);
            }
        } else
            length *= 0.5f;
        w0 = best[0] - length * s0;
        w1 = best[1] - length * s1;
        w2 = best[2] - length * s2;
    }
    return smallest;
}

extern "C" __global__ void invert(const float* disp, const float* initial, float sign, int nx,
                                  int ny, int nz, int iterations, float tolerance, float* out,
                                  float* residual)
{
    int i = THREAD, n = nx * ny * nz;
    if (i >= n) return;
    float best[3];
    for (int c = 0; c < 3; ++c) best[c] = sign * initial[(size_t)c * n + i];
    Voxel at = voxel(i, ny, nz);
    residual[i] = newton(disp, at, nx, ny, nz, iterations, tolerance, best);
    for (int c = 0; c < 3; ++c) out[(size_t)c * n + i] = best[c];
}

// Where no solution was found, start again from those of the six neighbours; the best is kept.
extern "C" __global__ void invert_again(const float* disp, const float* inverse,
                                        const float* residual, int nx, int ny, int nz,
                                        int iterations, float tolerance, float* out,
                                        float* residual_out)
{
    int i = THREAD, n = nx * ny * nz;
    if (i >= n) return;
    Voxel at = voxel(i, ny, nz);
    float best[3], smallest = residual[i];
    for (int c = 0; c < 3; ++c) best[c] = inverse[(size_t)c * n + i];
    if (!(smallest < tolerance * tolerance)) {
        int stride[3] = {ny * nz, nz, 1}, place[3] = {at.x, at.y, at.z}, size[3] = {nx, ny, nz};
        for (int k = 0; k < 6; ++k) {
            int axis = k / 2, step = k % 2 ? 1 : -1;
            if (place[axis] + step < 0 || place[axis] + step >= size[axis]) continue;
            float w[3];
            for (int c = 0; c < 3; ++c) w[c] = inverse[(size_t)c * n + i + step * stride[axis]];
            float square = newton(disp, at, nx, ny, nz, iterations, tolerance, w);
            if (square < smallest) {
                smallest = square;
                for (int c = 0; c < 3; ++c) best[c] = w[c];
            }
        }
    }
    residual_out[i] = smallest;
    for (int c = 0; c < 3; ++c) out[(size_t)c * n + i] = best[c];
}

// At some voxels only, from the inverse they have; one thread per entry of `index`.
extern "C" __global__ void invert_at(const float* disp, const long long* index, int count, int nx,
                                     int ny, int nz, int iterations, float tolerance,
                                     float* inverse)
{
    int i = THREAD;
    if (i >= count) return;
    Voxel at = voxel((int)index[i], ny, nz);
    size_t j = index[i], n = (size_t)nx * ny * nz;
    float best[3] = {inverse[j], inverse[n + j], inverse[2 * n + j]};
    newton(disp, at, nx, ny, nz, iterations, tolerance, best);
    for (int c = 0; c < 3; ++c) inverse[c * n + j] = best[c];
}
