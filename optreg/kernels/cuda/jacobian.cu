// Jacobian determinants of x + disp(x) by finite differences, in float64: the sign of one near
// zero decides whether a field counts as folded. See kernels/reference/jacobian.py.

struct Vector {
    double x, y, z;
};

// Deformed vector from a voxel to its neighbour at an offset.
__device__ inline Vector edge(const float* disp, size_t n, size_t i, int ny, int nz, int dx,
                              int dy, int dz)
{
    size_t j = i + ((long long)dx * ny + dy) * nz + dz;
    Vector e;
    e.x = (double)disp[j] - (double)disp[i] + dx;
    e.y = (double)disp[n + j] - (double)disp[n + i] + dy;
    e.z = (double)disp[2 * n + j] - (double)disp[2 * n + i] + dz;
    return e;
}

__device__ inline double determinant(Vector a, Vector b, Vector c)
{
    return a.x * (b.y * c.z - b.z * c.y) - a.y * (b.x * c.z - b.z * c.x) +
           a.z * (b.x * c.y - b.y * c.x);
}

// One of the ten determinants, in the order of CORNERS followed by J*1 and J*2; false where it
// needs a point outside the grid.
__device__ inline bool tetrahedron(const float* disp, size_t n, Voxel v, int nx, int ny, int nz,
                                   int k, double* value)
{
    int dx = 1, dy = 1, dz = 1;
    if (k < 8) {
        dx = k & 4 ? -1 : 1;
        dy = k & 2 ? -1 : 1;
        dz = k & 1 ? -1 : 1;
    } else if (k == 9)
        dx = dy = dz = -1;
    int x = v.x + dx, y = v.y + dy, z = v.z + dz;
    if (x < 0 || x >= nx || y < 0 || y >= ny || z < 0 || z >= nz) return false;
    size_t i = ((size_t)v.x * ny + v.y) * nz + v.z;
    if (k < 8) {
        Vector a = edge(disp, n, i, ny, nz, dx, 0, 0);
        Vector b = edge(disp, n, i, ny, nz, 0, dy, 0);
        Vector c = edge(disp, n, i, ny, nz, 0, 0, dz);
        *value = dx * dy * dz * determinant(a, b, c);
    } else {
        Vector a = edge(disp, n, i, ny, nz, dx, dy, 0);
        Vector b = edge(disp, n, i, ny, nz, dx, 0, dz);
        Vector c = edge(disp, n, i, ny, nz, 0, dy, dz);
        *value = -dx * determinant(a, b, c);
    }
    return true;
}

__device__ inline double smallest_determinant(const float* disp, size_t n, Voxel v, int nx, int ny,
                                              int nz)
{
    double least = infinity();
    for (int k = 0; k < 10; ++k) {
        double value;
        if (!tetrahedron(disp, n, v, nx, ny, nz, k, &value)) continue;
        // Once NaN, always NaN: a comparison with NaN is false either way.
        if (!(least <= value || least != least)) least = value;
    }
    return least;
}

__device__ inline double central_determinant(const float* disp, size_t n, Voxel v, int nx, int ny,
                                             int nz)
{
    size_t i = ((size_t)v.x * ny + v.y) * nz + v.z;
    int low[3] = {v.x > 0, v.y > 0, v.z > 0};
    int high[3] = {v.x < nx - 1, v.y < ny - 1, v.z < nz - 1};
    long long stride[3] = {(long long)ny * nz, nz, 1};
    Vector column[3];
    for (int axis = 0; axis < 3; ++axis) {
        const float* p = disp + i + high[axis] * stride[axis];
        const float* q = disp + i - low[axis] * stride[axis];
        double scale = low[axis] && high[axis] ? 0.5 : 1.0;
        column[axis].x = scale * ((double)p[0] - (double)q[0]) + (axis == 0);
        column[axis].y = scale * ((double)p[n] - (double)q[n]) + (axis == 1);
        column[axis].z = scale * ((double)p[2 * n] - (double)q[2 * n]) + (axis == 2);
    }
    return determinant(column[0], column[1], column[2]);
}

extern "C" __global__ void jacobian_determinant(const float* disp, int nx, int ny, int nz,
                                                float* out)
{
    int i = THREAD, n = nx * ny * nz;
    if (i >= n) return;
    out[i] = (float)central_determinant(disp, n, voxel(i, ny, nz), nx, ny, nz);
}

extern "C" __global__ void jacobian_determinants(const float* disp, int nx, int ny, int nz,
                                                 float* out)
{
    int i = THREAD, n = nx * ny * nz;
    if (i >= n) return;
    for (int k = 0; k < 10; ++k) {
        double value = infinity();
        tetrahedron(disp, n, voxel(i, ny, nz), nx, ny, nz, k, &value);
        out[(size_t)k * n + i] = (float)value;
    }
}

extern "C" __global__ void minimum_determinant(const float* disp, int nx, int ny, int nz,
                                               float* out)
{
    int i = THREAD, n = nx * ny * nz;
    if (i >= n) return;
    out[i] = (float)smallest_determinant(disp, n, voxel(i, ny, nz), nx, ny, nz);
}

// At some voxels only; one thread per entry of `index`.
extern "C" __global__ void minimum_determinant_at(const float* disp, const long long* index,
                                                  int count, int nx, int ny, int nz, double* out)
{
    int i = THREAD;
    if (i >= count) return;
    Voxel v = voxel((int)index[i], ny, nz);
    out[i] = smallest_determinant(disp, (size_t)nx * ny * nz, v, nx, ny, nz);
}

// Per voxel: the negative determinants' sum (sign turned), how many are not positive, and whether
// the central one is. The outermost voxels and those off the mask give 0.
extern "C" __global__ void folding(const float* disp, const unsigned char* mask, int nx, int ny,
                                   int nz, double* volume, unsigned char* tetrahedra,
                                   unsigned char* central)
{
    int i = THREAD, n = nx * ny * nz;
    if (i >= n) return;
    Voxel v = voxel(i, ny, nz);
    volume[i] = 0.0;
    tetrahedra[i] = central[i] = 0;
    bool inner = v.x > 0 && v.y > 0 && v.z > 0 && v.x < nx - 1 && v.y < ny - 1 && v.z < nz - 1;
    if (!mask[i] || !inner) return;
    for (int k = 0; k < 10; ++k) {
        double value = 1.0;
        tetrahedron(disp, n, v, nx, ny, nz, k, &value);
        if (!(value > 0.0)) {
            volume[i] -= value;
            tetrahedra[i] += value <= 0.0;
        }
    }
    central[i] = central_determinant(disp, n, v, nx, ny, nz) <= 0.0;
}
