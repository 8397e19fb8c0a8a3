// batch_norm_forward_evaluation, one thread an element of y: easy to read, and a start for something faster.
//
//     minigrad bench batch_norm_forward_evaluation --kernel FILE --device emulated   no GPU: right or wrong
//     minigrad bench batch_norm_forward_evaluation --kernel FILE --device cuda       and how fast, on a GPU
//
// Activations lie channels-last: channel c of pixel i, counted over all images, is x[i * channels + c].

/* minigrad kernel
operation: batch_norm_forward_evaluation
name:      mine
kernel:    normalise
arguments: x, weight, bias, mean, variance, y, int64(batch) * height * width * channels, channels, epsilon, relu
grid:      ceil_div(batch * height * width * channels, 256)
block:     256
layout:    channels_last
dtypes:    float32, float64, float16, bfloat16
*/

#include "cuda/types.cuh"
using Real = REAL;
using Number = Wide<Real>;  // of everything that is by channel: float for 16 bits

extern "C" __global__ void __launch_bounds__(256) normalise(
    const Real* __restrict__ x, const Number* __restrict__ weight, const Number* __restrict__ bias,
    const Number* __restrict__ mean, const Number* __restrict__ variance, Real* __restrict__ y, long long elements,
    int channels, double epsilon, int relu) {
    const long long element = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    if (element >= elements) return;
    const int c = element % channels;
    const Number scale = weight[c] / sqrt(variance[c] + Number(epsilon));
    Number value = (widen(x[element]) - mean[c]) * scale + bias[c];
    if (relu && value < 0) value = 0;  // NaN stays NaN
    y[element] = narrow<Real>(value);
}
