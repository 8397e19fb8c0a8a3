// A product of matrices for reading: one thread computes one element, straight from the definition.
//
// Definition: REAL, the element type; sums are float, or double for double.
#include "cuda/types.cuh"

using Real = REAL;

// How far apart, in elements, matrices of a stack, rows and columns are.
struct Strides {
    long long stack, row, column;
};

extern "C" __global__ void __launch_bounds__(256, 4)
    direct(const Real* __restrict__ left, Strides lefts, const Real* __restrict__ right, Strides rights,
           Real* __restrict__ y, int stack, int rows, int columns, int depth) {
    const long long number = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const int column = int(number % columns), row = int(number / columns % rows);
    const long long matrix = number / columns / rows;
    if (matrix >= stack) return;
    const Real* a = left + matrix * lefts.stack + row * lefts.row;
    const Real* b = right + matrix * rights.stack + column * rights.column;
    Wide<Real> sum = 0;
    for (int k = 0; k < depth; ++k) sum += widen(a[k * lefts.column]) * widen(b[k * rights.row]);
    y[number] = narrow<Real>(sum);
}
