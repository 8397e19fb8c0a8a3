// conv2d_weight_gradient, one thread an element of gweight: easy to read, and a start for something faster.
//
//     minigrad bench conv2d_weight_gradient --kernel FILE --device emulated     no GPU: right or wrong
//     minigrad bench conv2d_weight_gradient --kernel FILE --device cuda         and how fast, on a GPU
//
// Activations lie channels-last: element (n, c, h, w) of x is x[((n * height + h) * width + w) * channels + c].

/* minigrad kernel
operation: conv2d_weight_gradient
name:      mine
kernel:    correlate
arguments: x, gy, gweight, batch, in_channels, input_height, input_width, out_channels, output_height,
           output_width, filter_height, filter_width, stride_height, stride_width, padding_height, padding_width,
           dilation_height, dilation_width, groups
grid:      ceil_div(out_channels * (in_channels // groups) * filter_height * filter_width, 128)
block:     128
layout:    channels_last
dtypes:    float32, float64, float16, bfloat16
*/

#include "cuda/types.cuh"
using Real = REAL;

extern "C" __global__ void __launch_bounds__(128) correlate(
    const Real* __restrict__ x, const Real* __restrict__ gy, Real* __restrict__ gweight, int batch, int channels,
    int height, int width, int filters, int rows, int columns, int filter_height, int filter_width, int stride_height,
    int stride_width, int padding_height, int padding_width, int dilation_height, int dilation_width, int groups) {
    const int element = blockIdx.x * blockDim.x + threadIdx.x;
    const int depth = channels / groups;
    if (element >= filters * depth * filter_height * filter_width) return;
    const int s = element % filter_width;
    const int r = element / filter_width % filter_height;
    const int c = element / filter_width / filter_height % depth;
    const int k = element / filter_width / filter_height / depth;
    const int channel = k / (filters / groups) * depth + c;
    Wide<Real> sum = 0;
    for (long long n = 0; n < batch; ++n) {
        for (int p = 0; p < rows; ++p) {
            const int h = p * stride_height - padding_height + r * dilation_height;
            if (h < 0 || h >= height) continue;
            Wide<Real> row = 0;  // summed up by row: one long sum would lose more to rounding
            for (int q = 0; q < columns; ++q) {
                const int w = q * stride_width - padding_width + s * dilation_width;
                if (w < 0 || w >= width) continue;
                row += widen(x[((n * height + h) * width + w) * channels + channel]) *
                       widen(gy[((n * rows + p) * columns + q) * filters + k]);
            }
            sum += row;
        }
    }
    gweight[element] = narrow<Real>(sum);
}
