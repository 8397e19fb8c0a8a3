// concat, one launch a part, one thread an element of it: easy to read, and a start for something faster.
//
//     minigrad bench concat --kernel FILE --device emulated   no GPU: right or wrong
//     minigrad bench concat --kernel FILE --device cuda       and how fast, on a GPU
//
// Each launch gets y from where its part begins.
// Activations lie channels-last: channel c of pixel i, counted over all images, is x[i * channels + c].

/* minigrad kernel
operation: concat
name:      mine
kernel:    copy
arguments: part, y, int64(batch) * height * width * part_length, part_length, channels
grid:      ceil_div(batch * height * width * part_length, 256)
block:     256
layout:    channels_last
dtypes:    float32, float64, float16, bfloat16
supports:  dimensions == 4 and axis == 1
*/

#include "cuda/types.cuh"
using Real = REAL;

extern "C" __global__ void __launch_bounds__(256) copy(
    const Real* __restrict__ part, Real* __restrict__ y, long long elements, int length, int channels) {
    const long long element = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    if (element >= elements) return;
    const long long pixel = element / length;
    const int c = element % length;
    y[pixel * channels + c] = part[element];
}
