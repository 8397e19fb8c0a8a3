// max_pool2d_input_gradient, one thread an element of gx: easy to read, and a start for something faster.
//
//     minigrad bench max_pool2d_input_gradient --kernel FILE --device emulated   no GPU: right or wrong
//     minigrad bench max_pool2d_input_gradient --kernel FILE --device cuda       and how fast, on a GPU
//
// Activations lie channels-last: element (n, c, h, w) of x is x[((n * height + h) * width + w) * channels + c].

/* minigrad kernel
operation: max_pool2d_input_gradient
name:      mine
kernel:    hand_back
arguments: gy, indices, gx, batch, channels, height, width, output_height, output_width, kernel_height, kernel_width,
           stride_height, stride_width, padding_height, padding_width, dilation_height, dilation_width
grid:      ceil_div(batch * height * width * channels, 256)
block:     256
layout:    channels_last
dtypes:    float32, float64, float16, bfloat16
supports:  kernel_height * kernel_width <= 256
*/

#include "cuda/types.cuh"
using Real = REAL;

extern "C" __global__ void __launch_bounds__(256) hand_back(
    const Real* __restrict__ gy, const unsigned char* __restrict__ indices, Real* __restrict__ gx, int batch,
    int channels, int height, int width, int rows, int columns, int kernel_height, int kernel_width,
    int stride_height, int stride_width, int padding_height, int padding_width, int dilation_height,
    int dilation_width) {
    const long long element = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    if (element >= static_cast<long long>(batch) * height * width * channels) return;
    const int c = element % channels;
    const int w = element / channels % width;
    const int h = element / channels / width % height;
    const long long n = element / channels / width / height;
    Wide<Real> sum = 0;
    for (int r = 0; r < kernel_height; ++r) {  // the window in which this element is at place (r, s), if there is one
        const int from_top = h + padding_height - r * dilation_height;
        const int p = from_top / stride_height;
        if (from_top < 0 || from_top % stride_height || p >= rows) continue;
        for (int s = 0; s < kernel_width; ++s) {
            const int from_left = w + padding_width - s * dilation_width;
            const int q = from_left / stride_width;
            if (from_left < 0 || from_left % stride_width || q >= columns) continue;
            const long long output = ((n * rows + p) * columns + q) * channels + c;
            if (indices[output] == r * kernel_width + s) sum += widen(gy[output]);
        }
    }
    gx[element] = narrow<Real>(sum);
}
