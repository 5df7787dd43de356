// Operations on displacement fields inside the optimizer: step, norm, volume regularization.

struct Steps {
    const float* force;
    float step, tau;
    int nx, ny, nz;
};

// One component of the bounded step at a voxel.
__device__ inline float bounded(const Steps& s, int i, int component)
{
    size_t n = (size_t)s.nx * s.ny * s.nz;
    float a = s.force[i], b = s.force[n + i], c = s.force[2 * n + i];
    float scale = s.step / sqrtf(a * a + b * b + c * c + s.tau * s.tau);
    return scale * (component == 0 ? a : component == 1 ? b : c);
}

// Index of the neighbour a step along an axis points to; the voxel itself at the border.
__device__ inline int ahead(int i, int at, int size, int stride, float step)
{
    if (step > 0.0f) return at < size - 1 ? i + stride : i;
    return at > 0 ? i - stride : i;
}

// Field after the x step alone: all three components.
__device__ inline void step_x(const Steps& s, const float* field, int i, int x, float out[3])
{
    size_t n = (size_t)s.nx * s.ny * s.nz;
    float d = bounded(s, i, 0);
    int j = ahead(i, x, s.nx, s.ny * s.nz, d);
    for (int c = 0; c < 3; ++c) out[c] = mix(field[c * n + i], field[c * n + j], fabsf(d));
    out[0] += d;
}

// Field after the x and y steps.
__device__ inline void step_xy(const Steps& s, const float* field, int i, int x, int y,
                               float out[3])
{
    float d = bounded(s, i, 1), other[3];
    step_x(s, field, i, x, out);
    int j = ahead(i, y, s.ny, s.nz, d);
    if (j != i) {
        step_x(s, field, j, x, other);
        for (int c = 0; c < 3; ++c) out[c] = mix(out[c], other[c], fabsf(d));
    }
    out[1] += d;
}

// `step` and `tau` are in device memory, so that nobody has to wait for what they come from.
extern "C" __global__ void compose_step(const float* force, const float* step, const float* tau,
                                        const float* field, int nx, int ny, int nz, float* out)
{
    int i = THREAD, n = nx * ny * nz;
    if (i >= n) return;
    Voxel v = voxel(i, ny, nz);
    Steps s = {force, step[0], tau[0], nx, ny, nz};
    float d = bounded(s, i, 2), here[3], other[3];
    step_xy(s, field, i, v.x, v.y, here);
    int j = ahead(i, v.z, nz, 1, d);
    if (j != i) {
        step_xy(s, field, j, v.x, v.y, other);
        for (int c = 0; c < 3; ++c) here[c] = mix(here[c], other[c], fabsf(d));
    }
    here[2] += d;
    for (int c = 0; c < 3; ++c) out[(size_t)c * n + i] = here[c];
}

// Per part: sum of the squared lengths of its vectors, and how many are not (nearly) zero. Threads
// beside each other read voxels beside each other.
extern "C" __global__ void square_sums(const float* force, int voxels, int parts, double* sums,
                                       double* counts)
{
    int i = THREAD;
    if (i >= parts) return;
    size_t n = voxels;
    double total = 0.0, count = 0.0;
    for (size_t k = i; k < n; k += parts) {
        float a = force[k], b = force[n + k], c = force[2 * n + k];
        float square = a * a + b * b + c * c;
        total += square;
        if (square > 1e-20f) count += 1.0;
    }
    sums[i] = total;
    counts[i] = count;
}

// Step of an iteration, by one thread: nobody has to wait for what it depends on.
extern "C" __global__ void next_step(const double* value, const double* norm, double longest,
                                     double decay, double tau, double floor, double* state,
                                     int count, double* values, float* steps)
{
    if (THREAD > 0) return;
    int done = (int)state[0];
    if (done >= count) return;
    if (done == 0) state[1] = *value;
    state[0] += 1.0;
    if (*value < state[1]) state[2] += 1.0;
    values[done] = *value;
    double length = ldexp(longest, -(int)state[2]) * (1.0 - decay * done / count);
    double relative = tau * *norm;
    steps[0] = (float)length;
    steps[1] = -(float)length;
    // Written so that a NaN stays visible.
    steps[2] = (float)(relative < floor ? floor : relative);
}

extern "C" __global__ void log_jacobian(const float* disp, int nx, int ny, int nz, float floor,
                                        float* out)
{
    int i = THREAD, n = nx * ny * nz;
    if (i >= n) return;
    Voxel v = voxel(i, ny, nz);
    if (v.z == 0 || v.z == nz - 1) {
        out[i] = 0.0f;
        return;
    }
    Slope p = slope(disp, v, nx, ny, nz);
    Slope q = slope(disp + (size_t)n, v, nx, ny, nz);
    Slope r = slope(disp + 2 * (size_t)n, v, nx, ny, nz);
    float a = 1.0f + 0.5f * p.x, b = 0.5f * p.y, c = 0.5f * p.z;
    float d = 0.5f * q.x, e = 1.0f + 0.5f * q.y, f = 0.5f * q.z;
    float g = 0.5f * r.x, h = 0.5f * r.y, k = 1.0f + 0.5f * r.z;
    float j = a * (e * k - f * h) - b * (d * k - f * g) + c * (d * h - e * g);
    // Written so that a NaN stays visible.
    out[i] = logf(j < floor ? floor : j);
}

extern "C" __global__ void add_gradient(const float* potential, float factor, int nx, int ny,
                                        int nz, float* disp)
{
    int i = THREAD, n = nx * ny * nz;
    if (i >= n) return;
    Voxel v = voxel(i, ny, nz);
    if (v.z == 0 || v.z == nz - 1) return;
    Slope s = slope(potential, v, nx, ny, nz);
    float h = 0.5f * factor;
    disp[i] += h * s.x;
    disp[(size_t)n + i] += h * s.y;
    disp[2 * (size_t)n + i] += h * s.z;
}
