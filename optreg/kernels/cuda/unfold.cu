// Local smoothing of a displacement field: one thread per entry of `index`.

extern "C" __global__ void binomial_means(const float* disp, const long long* index, int count,
                                          int nx, int ny, int nz, float* values)
{
    int i = THREAD;
    if (i >= count) return;
    Voxel at = voxel((int)index[i], ny, nz);
    for (int c = 0; c < 3; ++c) {
        const float* v = disp + (size_t)c * nx * ny * nz;
        double total = 0.0;
        for (int dx = -1; dx <= 1; ++dx)
            for (int dy = -1; dy <= 1; ++dy)
                for (int dz = -1; dz <= 1; ++dz) {
                    size_t x = clamp(at.x + dx, nx), y = clamp(at.y + dy, ny);
                    size_t j = (x * ny + y) * nz + clamp(at.z + dz, nz);
                    total += (2 - abs(dx)) * (2 - abs(dy)) * (2 - abs(dz)) * (double)v[j];
                }
        values[3 * (size_t)i + c] = (float)(total / 64.0);
    }
}

extern "C" __global__ void scatter(const float* values, const long long* index, int count, int nx,
                                   int ny, int nz, float* disp)
{
    int i = THREAD;
    if (i >= count) return;
    size_t n = (size_t)nx * ny * nz;
    for (int c = 0; c < 3; ++c) disp[c * n + index[i]] = values[3 * (size_t)i + c];
}
