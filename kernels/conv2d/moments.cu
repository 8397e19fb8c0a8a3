// The last step of a convolution's statistics: parts of the moments of each channel, merged in order.
//
// A block takes 32 channels and a group of parts; its eight rows of threads take every eighth part and merge
// among themselves in a tree. Launched again on the results until there is one part left.
//
// Definition: SUM, float or double.
#include "cuda/moments.cuh"

constexpr int ROWS = 8;

// merged[group][channel] from parts[part][channel].
extern "C" __global__ void __launch_bounds__(256, 4)
    merge(const Moments<SUM>* __restrict__ parts, int count, int group, int channels,
          Moments<SUM>* __restrict__ merged) {
    __shared__ Moments<SUM> shared[ROWS][32];
    const int channel = blockIdx.x * 32 + threadIdx.x, row = threadIdx.y, start = blockIdx.y * group;
    Moments<SUM> sum = {};
    for (int part = start + row; channel < channels && part < min(start + group, count); part += ROWS) {
        sum.merge(parts[(long long)part * channels + channel]);
    }
    shared[row][threadIdx.x] = sum;
    for (int rows = ROWS / 2; rows > 0; rows /= 2) {
        __syncthreads();
        if (row < rows) shared[row][threadIdx.x].merge(shared[row + rows][threadIdx.x]);
    }
    if (row == 0 && channel < channels) merged[(long long)blockIdx.y * channels + channel] = shared[0][threadIdx.x];
}

// Mean and variance of each channel.
extern "C" __global__ void __launch_bounds__(256, 4)
    finish(const Moments<SUM>* __restrict__ moments, int channels, SUM* __restrict__ mean, SUM* __restrict__ variance) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= channels) return;
    mean[channel] = moments[channel].mean;
    variance[channel] = moments[channel].squares / moments[channel].count;
}
