// matmul, one thread an element of y: easy to read, and a start for something faster.
//
//     minigrad bench matmul --kernel FILE --device emulated   no GPU: right or wrong
//     minigrad bench matmul --kernel FILE --device cuda       and how fast, on a GPU
//
// The matrices lie row by row: element (m, k) of left is left[m * depth + k].

/* minigrad kernel
operation: matmul
name:      mine
kernel:    multiply
arguments: left, right, y, rows, depth, columns
grid:      ceil_div(columns, 32), ceil_div(rows, 8)
block:     32, 8
layout:    contiguous
dtypes:    float32, float64, float16, bfloat16
supports:  products == 1
*/

#include "cuda/types.cuh"
using Real = REAL;

extern "C" __global__ void __launch_bounds__(256) multiply(
    const Real* __restrict__ left, const Real* __restrict__ right, Real* __restrict__ y, int rows, int depth,
    int columns) {
    const int n = blockIdx.x * blockDim.x + threadIdx.x;
    const int m = blockIdx.y * blockDim.y + threadIdx.y;
    if (m >= rows || n >= columns) return;
    const Real* row = left + static_cast<long long>(m) * depth;
    Wide<Real> sum = 0;
    for (int k = 0; k < depth; ++k) {
        sum += widen(row[k]) * widen(right[static_cast<long long>(k) * columns + n]);
    }
    y[static_cast<long long>(m) * columns + n] = narrow<Real>(sum);
}
