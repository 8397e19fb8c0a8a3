// average_pool2d_input_gradient, one thread an element of gx: easy to read, and a start for something faster.
//
//     minigrad bench average_pool2d_input_gradient --kernel FILE --device emulated   no GPU: right or wrong
//     minigrad bench average_pool2d_input_gradient --kernel FILE --device cuda       and how fast, on a GPU
//
// Activations lie channels-last: element (n, c, h, w) of x is x[((n * height + h) * width + w) * channels + c].

/* minigrad kernel
operation: average_pool2d_input_gradient
name:      mine
kernel:    spread
arguments: gy, gx, batch, channels, height, width, output_height, output_width, kernel_height, kernel_width,
           stride_height, stride_width, padding_height, padding_width, count_include_pad, divisor_override
grid:      ceil_div(batch * height * width * channels, 256)
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

extern "C" __global__ void __launch_bounds__(256) spread(
    const Real* __restrict__ gy, Real* __restrict__ gx, int batch, int channels, int height, int width, int rows,
    int columns, int kernel_height, int kernel_width, int stride_height, int stride_width, int padding_height,
    int padding_width, int count_include_pad, int divisor_override) {
    const long long element = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    if (element >= static_cast<long long>(batch) * height * width * channels) return;
    const int c = element % channels;
    const int w = element / channels % width;
    const int h = element / channels / width % height;
    const long long n = element / channels / width / height;
    // The windows that hold (h, w): those that begin at most a window's length before it.
    const int first_p = max(0, (h + padding_height - kernel_height + stride_height) / stride_height);
    const int first_q = max(0, (w + padding_width - kernel_width + stride_width) / stride_width);
    const int last_p = min(rows - 1, (h + padding_height) / stride_height);
    const int last_q = min(columns - 1, (w + padding_width) / stride_width);
    Wide<Real> sum = 0;
    for (int p = first_p; p <= last_p; ++p) {
        for (int q = first_q; q <= last_q; ++q) {
            const Window other = window(p, q, height, width, kernel_height, kernel_width, stride_height, stride_width,
                                        padding_height, padding_width, count_include_pad, divisor_override);
            sum += widen(gy[((n * rows + p) * columns + q) * channels + c]) / other.divisor;
        }
    }
    gx[element] = narrow<Real>(sum);
}
