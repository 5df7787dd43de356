// Squared local normalized cross-correlation and its exact gradient.
//
// Sums over windows are taken directly, plane by plane, always in the same order. With a stride
// there are windows at every few voxels of x and y only: the volumes between the kernels are
// smaller by its square.

// Sums of f, m, f^2, m^2, f m over the window along y and z, for each x and every stride-th y;
// with weights, of these times the weight, and of the weight itself.
extern "C" __global__ void lncc_plane_sums(const float* fixed, const float* moving,
                                           const float* region, int weighted, int radius,
                                           int stride, int nx, int ny, int nz, int lines,
                                           float* sums)
{
    int i = THREAD, n = nx * lines * nz;
    if (i >= n) return;
    Voxel v = voxel(i, lines, nz);
    int y = v.y * stride;
    int y0 = y - radius < 0 ? 0 : y - radius, y1 = y + radius >= ny ? ny - 1 : y + radius;
    int z0 = v.z - radius < 0 ? 0 : v.z - radius, z1 = v.z + radius >= nz ? nz - 1 : v.z + radius;
    float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f, s4 = 0.0f, s5 = 0.0f;
    for (int k = y0; k <= y1; ++k) {
        size_t row = ((size_t)v.x * ny + k) * nz;
        for (int z = z0; z <= z1; ++z) {
            float f = fixed[row + z], m = moving[row + z], w = weighted ? region[row + z] : 1.0f;
            float wf = w * f, wm = w * m;
            s0 += wf;
            s1 += wm;
            s2 += wf * f;
            s3 += wm * m;
            s4 += wf * m;
            s5 += w;
        }
    }
    sums[i] = s0;
    sums[(size_t)n + i] = s1;
    sums[2 * (size_t)n + i] = s2;
    sums[3 * (size_t)n + i] = s3;
    sums[4 * (size_t)n + i] = s4;
    if (weighted) sums[5 * (size_t)n + i] = s5;
}

// Value of each window's correlation, and the factors of its derivatives.
extern "C" __global__ void lncc_coefficients(const float* sums, int weighted, int radius,
                                             int stride, float eps, int nx, int lines, int nz,
                                             int planes, float* coefficients, float* values)
{
    int i = THREAD, n = planes * lines * nz;
    if (i >= n) return;
    Voxel v = voxel(i, lines, nz);
    int x = v.x * stride;
    int x0 = x - radius < 0 ? 0 : x - radius, x1 = x + radius >= nx ? nx - 1 : x + radius;
    size_t plane = (size_t)lines * nz, all = (size_t)nx * plane;
    float s[6];
    for (int j = 0; j < (weighted ? 6 : 5); ++j) {
        const float* p = sums + j * all + (size_t)v.y * nz + v.z;
        s[j] = 0.0f;
        for (int k = x0; k <= x1; ++k) s[j] += p[k * plane];
    }
    float side = (float)(2 * radius + 1), inv_n = 1.0f / (side * side * side), counts = 1.0f;
    if (weighted) {
        counts = s[5] * inv_n;
        inv_n = 1.0f / fmaxf(s[5], 1e-30f);
    }
    float mf = s[0] * inv_n, mm = s[1] * inv_n;
    float vf = fmaxf(s[2] * inv_n - mf * mf, 0.0f);
    float vm = fmaxf(s[3] * inv_n - mm * mm, 0.0f);
    float cov = s[4] * inv_n - mf * mm;
    float inv = 1.0f / (vf * vm + eps);
    float a = 2.0f * cov * inv, square = 0.5f * a * a;
    float bf = -square * vm, bm = -square * vf;
    coefficients[i] = a;
    coefficients[(size_t)n + i] = bf;
    coefficients[2 * (size_t)n + i] = bm;
    coefficients[3 * (size_t)n + i] = a * mm + bf * mf;
    coefficients[4 * (size_t)n + i] = a * mf + bm * mm;
    values[i] = cov * cov * inv * counts;
}

// Sum along z of the five coefficients over the windows that reach a voxel.
extern "C" __global__ void lncc_spread(const float* coefficients, int radius, int rows, int nz,
                                       float* out)
{
    int i = THREAD;
    if (i >= rows * nz) return;
    int z = i % nz;
    int low = z - radius < 0 ? -z : -radius, high = z + radius >= nz ? nz - 1 - z : radius;
    float sum = 0.0f;
    for (int k = low; k <= high; ++k) sum += coefficients[(size_t)(i + k)];
    out[i] = sum;
}

// Derivative of the value by both images at a voxel, times the central differences there.
extern "C" __global__ void lncc_force(const float* fixed, const float* moving,
                                      const float* region, int weighted,
                                      const float* coefficients, int radius, int stride,
                                      float weight, int add, int nx, int ny, int nz, int planes,
                                      int lines, float* force)
{
    int i = THREAD, n = nx * ny * nz;
    if (i >= n) return;
    Voxel v = voxel(i, ny, nz);
    int p0 = v.x - radius < 0 ? 0 : (v.x - radius + stride - 1) / stride;
    int h0 = v.y - radius < 0 ? 0 : (v.y - radius + stride - 1) / stride;
    int p1 = (v.x + radius) / stride, h1 = (v.y + radius) / stride;
    p1 = p1 >= planes ? planes - 1 : p1;
    h1 = h1 >= lines ? lines - 1 : h1;
    size_t windows = (size_t)planes * lines * nz;
    float s[5] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
    for (int p = p0; p <= p1; ++p)
        for (int h = h0; h <= h1; ++h) {
            const float* c = coefficients + ((size_t)p * lines + h) * nz + v.z;
            for (int j = 0; j < 5; ++j) s[j] += c[j * windows];
        }
    float side = (float)(2 * radius + 1);
    float scale = 0.5f / (side * side * side) * weight * (float)(stride * stride);
    if (weighted) scale *= region[i];
    float f = fixed[i], m = moving[i];
    float by_fixed = -scale * (s[0] * m + s[1] * f - s[3]);
    float by_moving = scale * (s[0] * f + s[2] * m - s[4]);
    Slope df = slope(fixed, v, nx, ny, nz), dm = slope(moving, v, nx, ny, nz);
    size_t j = (size_t)n + i, k = 2 * (size_t)n + i;
    force[i] = by_fixed * df.x + by_moving * dm.x + (add ? force[i] : 0.0f);
    force[j] = by_fixed * df.y + by_moving * dm.y + (add ? force[j] : 0.0f);
    force[k] = by_fixed * df.z + by_moving * dm.z + (add ? force[k] : 0.0f);
}
