// average_pool2d_forward, one thread a window and channel: easy to read, and a start for something faster.
//
//     minigrad bench average_pool2d_forward --kernel FILE --device emulated   no GPU: right or wrong
//     minigrad bench average_pool2d_forward --kernel FILE --device cuda       and how fast, on a GPU
//
// Activations lie channels-last: element (n, c, h, w) of x is x[((n * height + h) * width + w) * channels + c].

/* minigrad kernel
operation: average_pool2d_forward
name:      mine
kernel:    average
arguments: x, y, batch, channels, height, width, output_height, output_width, kernel_height, kernel_width,
           stride_height, stride_width, padding_height, padding_width, count_include_pad, divisor_override
grid:      ceil_div(batch * output_height * output_width * channels, 256)
block:     256
layout:    channels_last
dtypes:    float32, float64, float16, bfloat16
*/

#include "cuda/types.cuh"
using Real = REAL;

// The elements of a window, of which rows [top, bottom) and columns [left, right) lie inside of the image, and by what
// their sum is divided: with the padding around them, but not what ceil_mode adds beyond it.
struct Window {
    int top, bottom, left, right, divisor;
};

__device__ Window window(
    int p, int q, int height, int width, int kernel_height, int kernel_width, int stride_height, int stride_width,
    int padding_height, int padding_width, int count_include_pad, int divisor_override) {
    const int top = p * stride_height - padding_height, left = q * stride_width - padding_width;
    const int bottom = min(top + kernel_height, height + padding_height);
    const int right = min(left + kernel_width, width + padding_width);
    Window inside = {max(top, 0), min(bottom, height), max(left, 0), min(right, width), 0};
    inside.divisor = count_include_pad ? (bottom - top) * (right - left)
                                       : (inside.bottom - inside.top) * (inside.right - inside.left);
    if (divisor_override) inside.divisor = divisor_override;
    return inside;
}

extern "C" __global__ void __launch_bounds__(256) average(
    const Real* __restrict__ x, Real* __restrict__ y, int batch, int channels, int height, int width, int rows,
    int columns, int kernel_height, int kernel_width, int stride_height, int stride_width, int padding_height,
    int padding_width, int count_include_pad, int divisor_override) {
    const long long element = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    if (element >= static_cast<long long>(batch) * rows * columns * channels) return;
    const int c = element % channels;
    const int q = element / channels % columns;
    const int p = element / channels / columns % rows;
    const long long n = element / channels / columns / rows;
    const Window own = window(p, q, height, width, kernel_height, kernel_width, stride_height, stride_width,
                              padding_height, padding_width, count_include_pad, divisor_override);
    Wide<Real> sum = 0;
    for (int h = own.top; h < own.bottom; ++h) {
        for (int w = own.left; w < own.right; ++w) sum += widen(x[((n * height + h) * width + w) * channels + c]);
    }
    y[element] = narrow<Real>(sum / own.divisor);
}
