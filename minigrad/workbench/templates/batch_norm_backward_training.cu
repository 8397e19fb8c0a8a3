// batch_norm_backward_training, one block a channel: easy to read, and a start for something faster.
//
//     minigrad bench batch_norm_backward_training --kernel FILE --device emulated   no GPU: right or wrong
//     minigrad bench batch_norm_backward_training --kernel FILE --device cuda       and how fast, on a GPU
//
// Activations lie channels-last: channel c of pixel i, counted over all images, is x[i * channels + c].

/* minigrad kernel
operation: batch_norm_backward_training
name:      mine
kernel:    differentiate
arguments: gy, x, weight, bias, mean, inverse_std, gx, gweight, gbias, int64(batch) * height * width, channels, relu
grid:      channels
block:     256
layout:    channels_last
dtypes:    float32, float64, float16, bfloat16
*/

#include "cuda/types.cuh"
using Real = REAL;
using Number = Wide<Real>;  // of everything that is by channel: float for 16 bits

constexpr int THREADS = 256;

// The sum of what the threads of a block have, which each of them gets.
__device__ Number sum_of_block(Number own, Number* shared) {
    shared[threadIdx.x] = own;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
    }
    const Number sum = shared[0];
    __syncthreads();  // before somebody writes there again
    return sum;
}

extern "C" __global__ void __launch_bounds__(THREADS) differentiate(
    const Real* __restrict__ gy, const Real* __restrict__ x, const Number* __restrict__ weight,
    const Number* __restrict__ bias, const Number* __restrict__ mean, const Number* __restrict__ inverse_std,
    Real* __restrict__ gx, Number* __restrict__ gweight, Number* __restrict__ gbias, long long pixels, int channels,
    int relu) {
    __shared__ Number shared[THREADS];
    const int c = blockIdx.x;
    const Number middle = mean[c], inverse = inverse_std[c], scale = weight[c] * inverse, shift = bias[c];
    // The gradient of pixel i; where ReLU cut y, which is computed again, it is zero.
    auto gradient = [&](long long i) {
        const Number y = (widen(x[i * channels + c]) - middle) * scale + shift;
        return relu && y <= 0 ? Number(0) : widen(gy[i * channels + c]);
    };
    Number sum = 0, weighted = 0;
    for (long long i = threadIdx.x; i < pixels; i += THREADS) {
        const Number g = gradient(i);
        sum += g;
        weighted += g * (widen(x[i * channels + c]) - middle) * inverse;
    }
    sum = sum_of_block(sum, shared);
    weighted = sum_of_block(weighted, shared);
    if (threadIdx.x == 0) {
        gbias[c] = sum;
        gweight[c] = weighted;
    }
    for (long long i = threadIdx.x; i < pixels; i += THREADS) {
        const Number normalised = (widen(x[i * channels + c]) - middle) * inverse;
        gx[i * channels + c] = narrow<Real>(scale * (gradient(i) - (sum + normalised * weighted) / pixels));
    }
}
