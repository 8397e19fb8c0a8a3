// conv2d_input_gradient, one thread an element of gx: easy to read, and a start for something faster.
//
//     minigrad bench conv2d_input_gradient --kernel FILE --device emulated     no GPU: right or wrong, what it launches
//     minigrad bench conv2d_input_gradient --kernel FILE --device cuda         and how fast, on a GPU
//
// Activations lie channels-last: element (n, c, h, w) of gx is gx[((n * height + h) * width + w) * channels + c].

/* minigrad kernel
operation: conv2d_input_gradient
name:      mine
kernel:    spread
arguments: gy, weight, gx, batch, in_channels, input_height, input_width, out_channels, output_height,
           output_width, filter_height, filter_width, stride_height, stride_width, padding_height, padding_width,
           dilation_height, dilation_width, groups
grid:      ceil_div(batch * input_height * input_width * in_channels, 256)
block:     256
layout:    channels_last
dtypes:    float32, float64, float16, bfloat16
*/

#include "cuda/types.cuh"
using Real = REAL;

extern "C" __global__ void __launch_bounds__(256) spread(
    const Real* __restrict__ gy, const Real* __restrict__ weight, Real* __restrict__ gx, int batch, int channels,
    int height, int width, int filters, int rows, int columns, int filter_height, int filter_width, int stride_height,
    int stride_width, int padding_height, int padding_width, int dilation_height, int dilation_width, int groups) {
    const long long element = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    if (element >= static_cast<long long>(batch) * height * width * channels) return;
    const int c = element % channels;
    const int w = element / channels % width;
    const int h = element / channels / width % height;
    const long long n = element / channels / width / height;
    const int depth = channels / groups;
    const int first = c / depth * (filters / groups);  // filter of the group
    Wide<Real> sum = 0;
    for (int r = 0; r < filter_height; ++r) {
        const int p = h + padding_height - r * dilation_height;  // times the stride
        if (p < 0 || p % stride_height || p / stride_height >= rows) continue;
        for (int s = 0; s < filter_width; ++s) {
            const int q = w + padding_width - s * dilation_width;
            if (q < 0 || q % stride_width || q / stride_width >= columns) continue;
            const Real* pixel = gy + ((n * rows + p / stride_height) * columns + q / stride_width) * filters;
            for (int k = first; k < first + filters / groups; ++k) {
                sum += widen(pixel[k]) *
                       widen(weight[((k * depth + c % depth) * filter_height + r) * filter_width + s]);
            }
        }
    }
    gx[element] = narrow<Real>(sum);
}
