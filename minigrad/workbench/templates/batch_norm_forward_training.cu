// batch_norm_forward_training, one block a channel: easy to read, and a start for something faster.
//
//     minigrad bench batch_norm_forward_training --kernel FILE --device emulated   no GPU: right or wrong
//     minigrad bench batch_norm_forward_training --kernel FILE --device cuda       and how fast, on a GPU
//
// Activations lie channels-last: channel c of pixel i, counted over all images, is x[i * channels + c].

/* minigrad kernel
operation: batch_norm_forward_training
name:      mine
kernel:    normalise
arguments: x, weight, bias, y, mean, variance, inverse_std, int64(batch) * height * width, channels, epsilon, relu
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

extern "C" __global__ void __launch_bounds__(THREADS) normalise(
    const Real* __restrict__ x, const Number* __restrict__ weight, const Number* __restrict__ bias,
    Real* __restrict__ y, Number* __restrict__ mean, Number* __restrict__ variance, Number* __restrict__ inverse_std,
    long long pixels, int channels, double epsilon, int relu) {
    __shared__ Number shared[THREADS];
    const int c = blockIdx.x;
    Number sum = 0;
    for (long long i = threadIdx.x; i < pixels; i += THREADS) sum += widen(x[i * channels + c]);
    const Number middle = sum_of_block(sum, shared) / pixels;
    // From the centred values: the mean of squares less the squared mean would cancel where the mean is large.
    Number squares = 0;
    for (long long i = threadIdx.x; i < pixels; i += THREADS) {
        const Number centred = widen(x[i * channels + c]) - middle;
        squares += centred * centred;
    }
    const Number spread = sum_of_block(squares, shared) / pixels;
    const Number inverse = 1 / sqrt(spread + Number(epsilon));
    if (threadIdx.x == 0) {
        mean[c] = middle;
        variance[c] = spread;
        inverse_std[c] = inverse;
    }
    const Number scale = weight[c] * inverse;
    for (long long i = threadIdx.x; i < pixels; i += THREADS) {
        Number value = (widen(x[i * channels + c]) - middle) * scale + bias[c];
        if (relu && value < 0) value = 0;  // NaN stays NaN
        y[i * channels + c] = narrow<Real>(value);
    }
}
