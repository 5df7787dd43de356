// Squared difference of two volumes and the force between them.

extern "C" __global__ void ssd(const float* fixed, const float* moving, const float* region,
                               int weighted, float weight, int add, int nx, int ny, int nz,
                               float* force, float* values)
{
    int i = THREAD, n = nx * ny * nz;
    if (i >= n) return;
    Voxel v = voxel(i, ny, nz);
    float d = fixed[i] - moving[i], w = weighted ? region[i] : 1.0f;
    Slope f = slope(fixed, v, nx, ny, nz), m = slope(moving, v, nx, ny, nz);
    values[i] = d * d * w;
    d *= w;
    d *= weight;
    size_t j = (size_t)n + i, k = 2 * (size_t)n + i;
    force[i] = d * (f.x + m.x) + (add ? force[i] : 0.0f);
    force[j] = d * (f.y + m.y) + (add ? force[j] : 0.0f);
    force[k] = d * (f.z + m.z) + (add ? force[k] : 0.0f);
}
