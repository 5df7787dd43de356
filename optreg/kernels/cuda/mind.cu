// MIND-SSC features: see kernels/reference/mind.py.

// Squared difference of the two neighbours at offsets (ax, ay, az) and (bx, by, bz).
extern "C" __global__ void squared_difference(const float* image, int nx, int ny, int nz, int ax,
                                              int ay, int az, int bx, int by, int bz, float* out)
{
    int i = THREAD;
    if (i >= nx * ny * nz) return;
    Voxel v = voxel(i, ny, nz);
    size_t a = ((size_t)clamp(v.x + ax, nx) * ny + clamp(v.y + ay, ny)) * nz + clamp(v.z + az, nz);
    size_t b = ((size_t)clamp(v.x + bx, nx) * ny + clamp(v.y + by, ny)) * nz + clamp(v.z + bz, nz);
    float d = image[a] - image[b];
    out[i] = d * d;
}

extern "C" __global__ void subtract_minimum(int channels, int count, float* distance, float* local)
{
    int i = THREAD;
    if (i >= count) return;
    float smallest = distance[i], mean = 0.0f;
    for (int c = 1; c < channels; ++c) smallest = fminf(smallest, distance[(size_t)c * count + i]);
    for (int c = 0; c < channels; ++c) {
        float d = distance[(size_t)c * count + i] - smallest;
        distance[(size_t)c * count + i] = d;
        mean += d;
    }
    local[i] = mean / (float)channels;
}

// `overall` is in device memory: the mean of `local` over the image.
extern "C" __global__ void exponential(const float* local, const float* overall, float clamp_at,
                                       int channels, int count, float* distance)
{
    int i = THREAD;
    if (i >= count) return;
    float width = fminf(fmaxf(local[i], clamp_at * overall[0]), overall[0] / clamp_at);
    for (int c = 0; c < channels; ++c) {
        size_t j = (size_t)c * count + i;
        distance[j] = expf(-distance[j] / width);
    }
}
