// Sets of voxels: their neighbours, and where a field takes them.

// One thread per entry of `index`. Voxels that come twice are given the same value twice.
extern "C" __global__ void mark(const long long* index, int count, unsigned char* marked)
{
    int i = THREAD;
    if (i < count) marked[index[i]] = 1;
}

// Whether a voxel or one of its neighbours is marked: the 26, or the six that share a face.
extern "C" __global__ void spread(const unsigned char* marked, int nx, int ny, int nz, int corners,
                                  unsigned char* out)
{
    int i = THREAD;
    if (i >= nx * ny * nz) return;
    Voxel v = voxel(i, ny, nz);
    bool found = false;
    for (int dx = -1; dx <= 1; ++dx)
        for (int dy = -1; dy <= 1; ++dy) {
            if (!corners && dx && dy) continue;
            int x = clamp(v.x + dx, nx), y = clamp(v.y + dy, ny);
            const unsigned char* row = marked + ((size_t)x * ny + y) * nz;
            found = found || row[v.z];
            if (corners || !(dx || dy))
                found = found || row[clamp(v.z - 1, nz)] || row[clamp(v.z + 1, nz)];
        }
    out[i] = found;
}

// Voxel nearest to where a displacement takes each entry of `index`; the border holds all.
extern "C" __global__ void landing(const float* disp, const long long* index, int count, int nx,
                                   int ny, int nz, long long* out)
{
    int i = THREAD;
    if (i >= count) return;
    Voxel v = voxel((int)index[i], ny, nz);
    int at[3] = {v.x, v.y, v.z}, size[3] = {nx, ny, nz};
    size_t n = (size_t)nx * ny * nz;
    long long flat = 0;
    for (int c = 0; c < 3; ++c) {
        double p = rint((double)at[c] + (double)disp[c * n + index[i]]);
        flat = flat * size[c] + (long long)fmin(fmax(p, 0.0), (double)(size[c] - 1));
    }
    out[i] = flat;
}
