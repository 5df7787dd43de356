// Enough of CUDA to compile the kernels as C++: one thread after the other.

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include <utility>

#define __global__
#define __device__

struct Index {
    unsigned x;
};
static thread_local Index blockIdx, threadIdx, blockDim;

// Arguments come as in cuLaunchKernel: a pointer to each.
template <class... A, size_t... I>
void call(void (*kernel)(A...), void** args, std::index_sequence<I...>)
{
    kernel(*(A*)args[I]...);
}

template <class... A>
void launch(void (*kernel)(A...), unsigned blocks, unsigned threads, void** args)
{
#pragma omp parallel for
    for (unsigned b = 0; b < blocks; ++b) {
        blockDim.x = threads;
        blockIdx.x = b;
        for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x)
            call(kernel, args, std::index_sequence_for<A...>());
    }
}
