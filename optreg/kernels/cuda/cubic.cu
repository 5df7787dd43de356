// Cubic B-spline at displaced positions: one thread per entry of `index`.

// First of four coefficients along an axis, and their weights.
__device__ inline int basis(double position, int size, double weights[4])
{
    int lower = (int)floor(fmin(fmax(position, 1.0), size - 2.0));
    lower = lower > size - 3 ? size - 3 : lower;
    double t = position - lower, s = 1.0 - t;
    weights[0] = s * s * s / 6.0;
    weights[1] = 2.0 / 3.0 - t * t * (2.0 - t) / 2.0;
    weights[2] = 2.0 / 3.0 - s * s * (2.0 - s) / 2.0;
    weights[3] = t * t * t / 6.0;
    return lower - 1;
}

// Voxel at which a position lies, or -1.
__device__ inline int on_voxel(double position, int size, double near_vox)
{
    double nearest = floor(position + 0.5);
    if (!(fabs(position - nearest) <= near_vox && nearest >= 0.0 && nearest < size)) return -1;
    return (int)nearest;
}

// The volume itself where a position is on a voxel.
extern "C" __global__ void cubic_at(const float* volume, const float* coefficients, int nx, int ny,
                                    int nz, double near_vox, const float* disp,
                                    const long long* index, int count, int mx, int my, int mz,
                                    float* out)
{
    int i = THREAD;
    if (i >= count) return;
    size_t n = (size_t)mx * my * mz, at = index[i];
    Voxel v = voxel((int)at, my, mz);
    double wx[4], wy[4], wz[4], total = 0.0;
    double px = (double)v.x + (double)disp[at], py = (double)v.y + (double)disp[n + at];
    double pz = (double)v.z + (double)disp[2 * n + at];
    int x = on_voxel(px, nx, near_vox), y = on_voxel(py, ny, near_vox);
    int z = on_voxel(pz, nz, near_vox);
    if (x >= 0 && y >= 0 && z >= 0) {
        out[i] = volume[((size_t)x * ny + y) * nz + z];
        return;
    }
    int ix = basis(px, nx, wx), iy = basis(py, ny, wy), iz = basis(pz, nz, wz);
    for (int j = 0; j < 4; ++j) {
        double plane = 0.0;
        for (int k = 0; k < 4; ++k) {
            const float* line = coefficients + ((size_t)(ix + j) * ny + iy + k) * nz + iz;
            double along = wz[0] * line[0] + wz[1] * line[1] + wz[2] * line[2] + wz[3] * line[3];
            plane += wy[k] * along;
        }
        total += wx[j] * plane;
    }
    out[i] = (float)total;
}
