// What several kernels need. The files of this folder are compiled as one text, this one first.
//
// Rules, so that the same text can be tested without a GPU: extern "C", no includes, no shared
// memory, no atomics; a thread writes its own output and gathers everything else. Volumes are
// C-contiguous, z fastest; one thread works on one voxel unless a kernel says otherwise.

#define THREAD ((int)(blockIdx.x * blockDim.x + threadIdx.x))

// The run-time compiler knows no headers, hence no INFINITY.
__device__ inline double infinity() { return -log(0.0); }

__device__ inline int clamp(int i, int size) { return i < 0 ? 0 : (i < size ? i : size - 1); }

struct Voxel {
    int x, y, z;
};

__device__ inline Voxel voxel(int i, int ny, int nz)
{
    Voxel v;
    v.z = i % nz;
    i /= nz;
    v.y = i % ny;
    v.x = i / ny;
    return v;
}

// Lower voxel of a position along an axis and the fraction beyond it; outside, the edge repeats.
struct Position {
    int lower;
    float fraction;
};

__device__ inline Position locate(float position, int size)
{
    position = fminf(fmaxf(position, 0.0f), (float)(size - 1));
    Position p;
    // A NaN turns into some integer: it must not leave the volume.
    int lower = (int)position;
    lower = lower > size - 2 ? size - 2 : lower;
    p.lower = lower < 0 ? 0 : lower;
    p.fraction = position - (float)p.lower;
    return p;
}

__device__ inline float mix(float a, float b, float t) { return a + t * (b - a); }

__device__ inline float sample(const float* v, Position x, Position y, Position z, int ny, int nz)
{
    const float* a = v + ((size_t)x.lower * ny + y.lower) * nz + z.lower;
    const float* b = a + (size_t)ny * nz;
    float v0 = mix(mix(a[0], a[1], z.fraction), mix(a[nz], a[nz + 1], z.fraction), y.fraction);
    float v1 = mix(mix(b[0], b[1], z.fraction), mix(b[nz], b[nz + 1], z.fraction), y.fraction);
    return mix(v0, v1, x.fraction);
}

// Twice the central difference along each axis; at the border the one-sided one.
struct Slope {
    float x, y, z;
};

__device__ inline Slope slope(const float* v, Voxel p, int nx, int ny, int nz)
{
    const float* row = v + ((size_t)p.x * ny + p.y) * nz;
    const float* here = row + p.z;
    size_t plane = (size_t)ny * nz;
    Slope s;
    s.x = here[p.x < nx - 1 ? plane : 0] - *(p.x > 0 ? here - plane : here);
    s.y = here[p.y < ny - 1 ? nz : 0] - *(p.y > 0 ? here - nz : here);
    s.z = row[clamp(p.z + 1, nz)] - row[clamp(p.z - 1, nz)];
    return s;
}
