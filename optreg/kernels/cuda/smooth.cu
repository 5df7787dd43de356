// One pass of a separable symmetric filter along one axis; the edge repeats outside.

extern "C" __global__ void filter_axis(const float* volume, const float* weights, int radius,
                                       int length, int stride, int count, float* out)
{
    int i = THREAD;
    if (i >= count) return;
    int at = i / stride % length;
    const float* here = volume + i;
    float sum = weights[0] * here[0];
    for (int k = 1; k <= radius; ++k) {
        int low = at - k < 0 ? at : k, high = at + k >= length ? length - 1 - at : k;
        sum += weights[k] * (*(here - (size_t)low * stride) + here[(size_t)high * stride]);
    }
    out[i] = sum;
}
