// Sampling volumes at displaced positions; composing displacement fields.

extern "C" __global__ void warp(const float* image, int channels, int nx, int ny, int nz,
                                const float* disp, int mx, int my, int mz, float* out)
{
    int i = THREAD, n = mx * my * mz;
    if (i >= n) return;
    Voxel v = voxel(i, my, mz);
    Position x = locate((float)v.x + disp[i], nx);
    Position y = locate((float)v.y + disp[(size_t)n + i], ny);
    Position z = locate((float)v.z + disp[2 * (size_t)n + i], nz);
    size_t size = (size_t)nx * ny * nz;
    for (int c = 0; c < channels; ++c)
        out[(size_t)c * n + i] = sample(image + c * size, x, y, z, ny, nz);
}

extern "C" __global__ void compose(const float* outer, int nx, int ny, int nz, const float* inner,
                                   int mx, int my, int mz, float* out)
{
    int i = THREAD, n = mx * my * mz;
    if (i >= n) return;
    Voxel v = voxel(i, my, mz);
    float d[3] = {inner[i], inner[(size_t)n + i], inner[2 * (size_t)n + i]};
    Position x = locate((float)v.x + d[0], nx);
    Position y = locate((float)v.y + d[1], ny);
    Position z = locate((float)v.z + d[2], nz);
    size_t size = (size_t)nx * ny * nz;
    for (int c = 0; c < 3; ++c)
        out[(size_t)c * n + i] = d[c] + sample(outer + c * size, x, y, z, ny, nz);
}

// Which voxel of the image is nearest to each displaced position, as a flat index; with `outside`
// it is -1 off the grid (a NaN as well), without it the edge repeats.
extern "C" __global__ void nearest_voxel(const float* disp, int mx, int my, int mz, int nx, int ny,
                                         int nz, int outside, int* out)
{
    int i = THREAD, n = mx * my * mz;
    if (i >= n) return;
    Voxel v = voxel(i, my, mz);
    int at[3] = {v.x, v.y, v.z}, size[3] = {nx, ny, nz}, flat = 0;
    bool inside = true;
    for (int c = 0; c < 3; ++c) {
        double p = (double)at[c] + (double)disp[(size_t)c * n + i], last = (double)(size[c] - 1);
        inside = inside && p >= 0.0 && p <= last;
        // Half-way positions go up, as in scipy.ndimage with order 0.
        p = fmin(fmax(floor(p + 0.5), 0.0), last);
        flat = flat * size[c] + (int)p;
    }
    out[i] = outside && !inside ? -1 : flat;
}

// Displacement followed by an affine map: `matrix` has three rows of four.
extern "C" __global__ void map_field(const double* matrix, const float* disp, int nx, int ny,
                                     int nz, float* out)
{
    int i = THREAD, n = nx * ny * nz;
    if (i >= n) return;
    Voxel v = voxel(i, ny, nz);
    double at[3] = {(double)v.x, (double)v.y, (double)v.z};
    for (int c = 0; c < 3; ++c) {
        const double* row = matrix + 4 * c;
        double moved = row[3];
        for (int k = 0; k < 3; ++k)
            moved += (row[k] - (c == k)) * at[k] + row[k] * (double)disp[(size_t)k * n + i];
        out[(size_t)c * n + i] = (float)moved;
    }
}
