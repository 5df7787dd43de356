// Displacement search on a grid.

__device__ inline Voxel window_offset(int d, int radius)
{
    int side = 2 * radius + 1;
    Voxel o = voxel(d, side, side);
    o.x -= radius;
    o.y -= radius;
    o.z -= radius;
    return o;
}

// One thread per displacement and voxel: mean squared feature difference.
extern "C" __global__ void cost_volume(const float* fixed, const float* moving, int channels,
                                       int nx, int ny, int nz, int radius, float* out)
{
    int i = THREAD, n = nx * ny * nz, side = 2 * radius + 1;
    if (i >= side * side * side * n) return;
    Voxel v = voxel(i % n, ny, nz), o = window_offset(i / n, radius);
    size_t there = ((size_t)clamp(v.x + o.x, nx) * ny + clamp(v.y + o.y, ny)) * nz;
    there += clamp(v.z + o.z, nz);
    float sum = 0.0f;
    for (int c = 0; c < channels; ++c) {
        float e = fixed[(size_t)c * n + i % n] - moving[(size_t)c * n + there];
        sum += e * e;
    }
    out[i] = sum / (float)channels;
}

extern "C" __global__ void convex_step(const float* cost, const float* disp, float coupling,
                                       int radius, int count, float* out)
{
    int i = THREAD, side = 2 * radius + 1;
    if (i >= count) return;
    float u = disp[i], v = disp[(size_t)count + i], w = disp[2 * (size_t)count + i];
    float best = 0.0f;
    for (int d = 0; d < side * side * side; ++d) {
        Voxel o = window_offset(d, radius);
        float a = (float)o.x - u, b = (float)o.y - v, c = (float)o.z - w;
        float total = cost[(size_t)d * count + i] + coupling * (a * a + b * b + c * c);
        if (d == 0 || total < best) {
            best = total;
            out[i] = (float)o.x;
            out[(size_t)count + i] = (float)o.y;
            out[2 * (size_t)count + i] = (float)o.z;
        }
    }
}
