// Squared difference of two volumes and the force between them.

extern "C" __global__ void ssd(const float* fixed, const float* moving, float weight, int add,
                               int nx, int ny, int nz, float* force, float* values)
{
    int i = THREAD, n = nx * ny * nz;
    if (i >= n) return;
    Voxel v = voxel(i, ny, nz);
    float a = 0.0f, b = 0.0f, c = 0.0f, square = 0.0f;
    if (v.z > 0 && v.z < nz - 1) {
        float d = fixed[i] - moving[i];
        Slope f = slope(fixed, v, nx, ny, nz), m = slope(moving, v, nx, ny, nz);
        square = d * d;
        d *= weight;
        a = d * (f.x + m.x);
        b = d * (f.y + m.y);
        c = d * (f.z + m.z);
    }
    values[i] = square;
    force[i] = a + (add ? force[i] : 0.0f);
    force[(size_t)n + i] = b + (add ? force[(size_t)n + i] : 0.0f);
    force[2 * (size_t)n + i] = c + (add ? force[2 * (size_t)n + i] : 0.0f);
}
