// Convolution as a product of matrices, of which the large one is never written down.
//
//     y[pixel, k]        = sum over (tap, c) of windows(x)[pixel, (tap, c)] * filter[k, (tap, c)]
//     gx[pixel, c]       = the same, with windows of gy and the filter turned by 180 degrees (filters.cuh)
//     gw[k, (tap, c)]    = sum over pixels of gy[pixel, k] * windows(x)[pixel, (tap, c)]
//
// The versions, from naive to fast, and what each is meant to gain (unmeasured: they have not run on a GPU yet):
// - direct.cu: one thread an element; two reads from memory for each product;
// - TENSOR_CORE=0: tiles in shared memory and registers; a number from memory is used TILE_M or TILE_N times, one from
//   shared memory 4 or 8 times;
// - TENSOR_CORE=1: the same tiles, multiplied by the tensor cores: 16 times the arithmetic of the above on 16 bits,
//   8 times in tf32 (sm_80's data sheet).
// VECTOR=1 is for channels that are no multiple of 16 bytes; it asks memory for each element on its own.
//
// The gradient of the filter has few elements and a long sum, so blocks also share out the pixels (split-K): each
// writes the sums of its part, and filters.cu adds them up in order. No atomics: a run's bits are the next one's.
//
// Definitions: those of matmul/tiles.cuh.
#include "conv2d/filters.cuh"
#include "conv2d/statistics.cuh"
#include "conv2d/windows.cuh"
#include "matmul/gemm.cuh"

// What forward, forward with statistics and gradient of the input have in common. `filter` has the rows of filters.cu,
// but for `convolve_turned`.
#define CONVOLVE_PARAMETERS                                                                                         \
    Gather gather, const Real *__restrict__ x, int x_distance, const Real *__restrict__ filter, int targets,        \
        const Real *__restrict__ bias, Real *__restrict__ y, int y_distance, int vectors

#define CONVOLVE_STORE                                                                                              \
    {y + blockIdx.z * targets, y_distance, gather.rows, targets, vectors != 0,                                      \
     bias == nullptr ? nullptr : bias + blockIdx.z * targets, false}

template <class Epilogue>
__device__ __forceinline__ void convolve_tile(const Gather& gather, const Real* x, int x_distance, const Real* filter,
                                              int targets, const Epilogue& epilogue) {
    const int tiles = divide_up(targets, TILE_N), group = blockIdx.z;
    const Windows windows = {x + group * gather.channels.number, x_distance, gather, gather.rows, gather.columns};
    const Rows filters = {filter + (long long)group * targets * gather.columns, gather.columns, targets, gather.columns};
    multiply<true, true>(windows, filters, int(blockIdx.x / tiles) * TILE_M, int(blockIdx.x % tiles) * TILE_N, 0,
                         gather.columns, epilogue);
}

// Forward and gradient of the input. Blocks: tiles, columns first; 1; groups.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) convolve(CONVOLVE_PARAMETERS, int relu) {
    Store<Real> store = CONVOLVE_STORE;
    store.relu = relu != 0;
    convolve_tile(gather, x, x_distance, filter, targets, store);
}

// Gradient of the input from a filter as it lies, (k, tap, c): a slice of it lies across the depth, (tap, k).
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) convolve_turned(CONVOLVE_PARAMETERS, int sources) {
    const int tiles = divide_up(targets, TILE_N), group = blockIdx.z;
    const Windows windows = {x + group * gather.channels.number, x_distance, gather, gather.rows, gather.columns};
    const int taps = gather.columns / gather.channels.number;
    const TurnedFilter filters = {filter + (long long)group * sources * taps * targets, gather, taps, sources,
                                  gather.columns, targets};
    const Store<Real> store = CONVOLVE_STORE;
    multiply<true, false>(windows, filters, int(blockIdx.x / tiles) * TILE_M, int(blockIdx.x % tiles) * TILE_N, 0,
                          gather.columns, store);
}

// Forward, and the moments of y: (tile of pixels, channel).
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    convolve_with_moments(CONVOLVE_PARAMETERS, Moments<Sum>* __restrict__ moments) {
    const long long channels = (long long)gridDim.z * targets;
    Moments<Sum>* const row = moments + blockIdx.x / divide_up(targets, TILE_N) * channels + blockIdx.z * targets;
    const StoreWithMoments store = {CONVOLVE_STORE, row};
    convolve_tile(gather, x, x_distance, filter, targets, store);
}

// Sums over `part` pixels each: parts (group, part, k, (tap, c)). Blocks: tiles, columns first; parts; groups.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    weight_gradient(Gather gather, const Real* __restrict__ x, int x_distance, const Real* __restrict__ gy,
                    int gy_distance, int targets, int part, Sum* __restrict__ parts, int vectors) {
    const int tiles = divide_up(gather.columns, TILE_N), group = blockIdx.z;
    const int start = blockIdx.y * part;
    const Windows windows = {x + group * gather.channels.number, x_distance, gather, gather.rows, gather.columns};
    const Rows gradients = {gy + group * targets, gy_distance, gather.rows, targets};
    const long long place = ((long long)group * gridDim.y + blockIdx.y) * targets * gather.columns;
    const Store<Sum> store = {parts + place, gather.columns, targets, gather.columns, vectors != 0, nullptr, false};
    multiply<false, false>(gradients, windows, int(blockIdx.x / tiles) * TILE_M, int(blockIdx.x % tiles) * TILE_N, start,
                           min(start + part, gather.rows), store);
}
