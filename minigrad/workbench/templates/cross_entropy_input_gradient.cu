// cross_entropy_input_gradient, one thread a row: easy to read, and a start for something faster.
//
//     minigrad bench cross_entropy_input_gradient --kernel FILE --device emulated   no GPU: right or wrong
//     minigrad bench cross_entropy_input_gradient --kernel FILE --device cuda       and how fast, on a GPU
//
// The logits lie row by row: class c of row r is logits[r * classes + c].

/* minigrad kernel
operation: cross_entropy_input_gradient
name:      mine
kernel:    differentiate
arguments: glosses, logits, targets, glogits, rows, classes, label_smoothing, int64(ignore_index)
grid:      ceil_div(rows, 128)
block:     128
dtypes:    float32, float64, float16, bfloat16
*/

#include "cuda/types.cuh"
using Real = REAL;
using Number = Wide<Real>;

__device__ float exponential(float x) { return expf(x); }
__device__ double exponential(double x) { return exp(x); }
__device__ float logarithm(float x) { return logf(x); }
__device__ double logarithm(double x) { return log(x); }

// The largest logit of a row, so that no exponential overflows.
__device__ Number largest_of(const Real* logits, int classes) {
    Number largest = widen(logits[0]);
    for (int c = 1; c < classes; ++c) largest = max(largest, widen(logits[c]));
    return largest;
}

extern "C" __global__ void __launch_bounds__(128) differentiate(
    const Real* __restrict__ glosses, const Real* __restrict__ logits, const long long* __restrict__ targets,
    Real* __restrict__ glogits, int rows, int classes, double label_smoothing, long long ignore_index) {
    const int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    const Real* own = logits + static_cast<long long>(row) * classes;
    Real* result = glogits + static_cast<long long>(row) * classes;
    const bool ignored = targets[row] == ignore_index;
    const Number largest = largest_of(own, classes), smoothing = label_smoothing;
    Number exponentials = 0;
    for (int c = 0; c < classes; ++c) exponentials += exponential(widen(own[c]) - largest);
    for (int c = 0; c < classes; ++c) {
        const Number target = (c == targets[row] ? 1 - smoothing : Number(0)) + smoothing / classes;
        const Number softmax = exponential(widen(own[c]) - largest) / exponentials;
        result[c] = narrow<Real>(ignored ? Number(0) : widen(glosses[row]) * (softmax - target));
    }
}
