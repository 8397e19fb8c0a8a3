// max_pool2d_forward, one thread a window and channel: easy to read, and a start for something faster.
//
//     minigrad bench max_pool2d_forward --kernel FILE --device emulated     no GPU: right or wrong, what it launches
//     minigrad bench max_pool2d_forward --kernel FILE --device cuda         and how fast, on a GPU
//
// Activations lie channels-last: element (n, c, h, w) of x is x[((n * height + h) * width + w) * channels + c].

/* minigrad kernel
operation: max_pool2d_forward
name:      mine
kernel:    largest
arguments: x, y, indices, batch, channels, height, width, output_height, output_width, kernel_height, kernel_width,
           stride_height, stride_width, padding_height, padding_width, dilation_height, dilation_width
grid:      ceil_div(batch * output_height * output_width * channels, 256)
block:     256
layout:    channels_last
dtypes:    float32, float64, float16, bfloat16
supports:  kernel_height * kernel_width <= 256
*/

#include "cuda/types.cuh"
using Real = REAL;

extern "C" __global__ void __launch_bounds__(256) largest(
    const Real* __restrict__ x, Real* __restrict__ y, unsigned char* __restrict__ indices, int batch, int channels,
    int height, int width, int rows, int columns, int kernel_height, int kernel_width, int stride_height,
    int stride_width, int padding_height, int padding_width, int dilation_height, int dilation_width) {
    const long long element = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    if (element >= static_cast<long long>(batch) * rows * columns * channels) return;
    const int c = element % channels;
    const int q = element / channels % columns;
    const int p = element / channels / columns % rows;
    const long long n = element / channels / columns / rows;
    Wide<Real> best = 0;
    int place = -1;
    for (int r = 0; r < kernel_height; ++r) {
        const int h = p * stride_height - padding_height + r * dilation_height;
        if (h < 0 || h >= height) continue;
        for (int s = 0; s < kernel_width; ++s) {
            const int w = q * stride_width - padding_width + s * dilation_width;
            if (w < 0 || w >= width) continue;
            const Wide<Real> value = widen(x[((n * height + h) * width + w) * channels + c]);
            if (place < 0 || value > best || value != value) {  // of equal elements the first, of NaN the last
                best = value;
                place = r * kernel_width + s;
            }
        }
    }
    y[element] = narrow<Real>(best);
    indices[element] = place;
}
