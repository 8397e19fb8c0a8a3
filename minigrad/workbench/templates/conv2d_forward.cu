// conv2d_forward, one thread an element of y: easy to read, and a start for something faster.
//
//     minigrad bench conv2d_forward --kernel FILE --device emulated     no GPU: right or wrong, and what it launches
//     minigrad bench conv2d_forward --kernel FILE --device cuda         and how fast, on a GPU
//
// Activations lie channels-last: element (n, c, h, w) of x is x[((n * height + h) * width + w) * channels + c].

/* minigrad kernel
operation: conv2d_forward
name:      mine
kernel:    convolve
arguments: x, weight, bias, y, batch, in_channels, input_height, input_width, out_channels, output_height,
           output_width, filter_height, filter_width, stride_height, stride_width, padding_height, padding_width,
           dilation_height, dilation_width, groups
grid:      ceil_div(batch * output_height * output_width * out_channels, 256)
block:     256
layout:    channels_last
dtypes:    float32, float64, float16, bfloat16
*/

#include "cuda/types.cuh"
using Real = REAL;

extern "C" __global__ void __launch_bounds__(256) convolve(
    const Real* __restrict__ x, const Real* __restrict__ weight, const Real* __restrict__ bias, Real* __restrict__ y,
    int batch, int channels, int height, int width, int filters, int rows, int columns, int filter_height,
    int filter_width, int stride_height, int stride_width, int padding_height, int padding_width, int dilation_height,
    int dilation_width, int groups) {
    const long long element = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    if (element >= static_cast<long long>(batch) * rows * columns * filters) return;
    const int k = element % filters;
    const int q = element / filters % columns;
    const int p = element / filters / columns % rows;
    const long long n = element / filters / columns / rows;
    const int depth = channels / groups;
    const int first = k / (filters / groups) * depth;  // channel of the group
    Wide<Real> sum = bias ? widen(bias[k]) : Wide<Real>(0);
    for (int r = 0; r < filter_height; ++r) {
        const int h = p * stride_height - padding_height + r * dilation_height;
        if (h < 0 || h >= height) continue;
        for (int s = 0; s < filter_width; ++s) {
            const int w = q * stride_width - padding_width + s * dilation_width;
            if (w < 0 || w >= width) continue;
            const Real* pixel = x + ((n * height + h) * width + w) * channels + first;
            for (int c = 0; c < depth; ++c) {
                sum += widen(pixel[c]) * widen(weight[((k * depth + c) * filter_height + r) * filter_width + s]);
            }
        }
    }
    y[element] = narrow<Real>(sum);
}
