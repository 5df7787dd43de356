// Factor-two pyramids: 2x2x2 means downwards, linear interpolation upwards.

extern "C" __global__ void downsample(const float* volume, int channels, int nx, int ny, int nz,
                                      float* out)
{
    int i = THREAD;
    if (i >= channels * nx * ny * nz) return;
    Voxel v = voxel(i, ny, nz);  // x runs over the planes of all channels
    const float* a = volume + ((size_t)(2 * v.x) * (2 * ny) + 2 * v.y) * (2 * nz) + 2 * v.z;
    const float* b = a + (size_t)(2 * ny) * (2 * nz);
    int row = 2 * nz;
    float sum = a[0] + a[1] + a[row] + a[row + 1] + b[0] + b[1] + b[row] + b[row + 1];
    out[i] = 0.125f * sum;
}

// A fine voxel lies a quarter of a coarse one beside the centre of its parent.
extern "C" __global__ void upsample(const float* volume, int channels, int nx, int ny, int nz,
                                    float factor, float* out)
{
    int i = THREAD;
    if (i >= channels * 8 * nx * ny * nz) return;
    Voxel v = voxel(i, 2 * ny, 2 * nz);
    int channel = v.x / (2 * nx), x = v.x % (2 * nx);
    int x0 = x / 2, y0 = v.y / 2, z0 = v.z / 2;
    int x1 = clamp(x0 + 2 * (x % 2) - 1, nx);
    int y1 = clamp(y0 + 2 * (v.y % 2) - 1, ny);
    int z1 = clamp(z0 + 2 * (v.z % 2) - 1, nz);
    const float* c = volume + (size_t)channel * nx * ny * nz;
    const float* p = c + ((size_t)x0 * ny + y0) * nz;
    const float* q = c + ((size_t)x0 * ny + y1) * nz;
    const float* r = c + ((size_t)x1 * ny + y0) * nz;
    const float* s = c + ((size_t)x1 * ny + y1) * nz;
    float near[2], far = 0.25f;
    int at[2] = {z0, z1};
    for (int k = 0; k < 2; ++k) {
        float a = 0.75f * p[at[k]] + far * q[at[k]], b = 0.75f * r[at[k]] + far * s[at[k]];
        near[k] = 0.75f * a + far * b;
    }
    out[i] = factor * (0.75f * near[0] + far * near[1]);
}
