// The last step of a convolution's statistics: parts of the moments of each channel, merged in order.
//
// A block takes 32 channels and a group of parts; its eight rows of threads take every eighth part and merge
// among themselves in a tree. Launched again on the results, until one group is left for `finish`.
//
// Definition: SUM, float or double.
#include "cuda/moments.cuh"

constexpr int ROWS = 8;

// Calls take(channel, moments of parts `start` to before `stop`) once for each channel of the block.
template <class Take>
__device__ __forceinline__ void merge_parts(const Moments<SUM>* parts, int start, int stop, int channels, Take take) {
    __shared__ Moments<SUM> shared[ROWS][32];
    const int channel = blockIdx.x * 32 + threadIdx.x, row = threadIdx.y;
    Moments<SUM> sum = {};
    for (int part = start + row; channel < channels && part < stop; part += ROWS) {
        sum.merge(parts[(long long)part * channels + channel]);
    }
    shared[row][threadIdx.x] = sum;
    for (int rows = ROWS / 2; rows > 0; rows /= 2) {
        __syncthreads();
        if (row < rows) shared[row][threadIdx.x].merge(shared[row + rows][threadIdx.x]);
    }
    if (row == 0 && channel < channels) take(channel, shared[0][threadIdx.x]);
}

// merged[group][channel] from parts[part][channel].
extern "C" __global__ void __launch_bounds__(256, 4)
    merge(const Moments<SUM>* __restrict__ parts, int count, int group, int channels,
          Moments<SUM>* __restrict__ merged) {
    const int start = blockIdx.y * group;
    merge_parts(parts, start, min(start + group, count), channels, [=](int channel, const Moments<SUM>& moments) {
        merged[(long long)blockIdx.y * channels + channel] = moments;
    });
}

// Mean and variance of each channel from the last parts.
extern "C" __global__ void __launch_bounds__(256, 4)
    finish(const Moments<SUM>* __restrict__ parts, int count, int channels, SUM* __restrict__ mean,
           SUM* __restrict__ variance) {
    merge_parts(parts, 0, count, channels, [=](int channel, const Moments<SUM>& moments) {
        mean[channel] = moments.mean;
        variance[channel] = moments.squares / moments.count;
    });
}
