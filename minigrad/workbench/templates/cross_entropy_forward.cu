// cross_entropy_forward, one thread a row: easy to read, and a start for something faster.
//
//     minigrad bench cross_entropy_forward --kernel FILE --device emulated   no GPU: right or wrong
//     minigrad bench cross_entropy_forward --kernel FILE --device cuda       and how fast, on a GPU
//
// The logits lie row by row: class c of row r is logits[r * classes + c].

/* minigrad kernel
operation: cross_entropy_forward
name:      mine
kernel:    lose
arguments: logits, targets, losses, rows, classes, label_smoothing, int64(ignore_index)
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

extern "C" __global__ void __launch_bounds__(128) lose(
    const Real* __restrict__ logits, const long long* __restrict__ targets, Real* __restrict__ losses, int rows,
    int classes, double label_smoothing, long long ignore_index) {
    const int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    if (targets[row] == ignore_index) {
        losses[row] = narrow<Real>(0);
        return;
    }
    const Real* own = logits + static_cast<long long>(row) * classes;
    const Number largest = largest_of(own, classes);
    Number exponentials = 0, total = 0;
    for (int c = 0; c < classes; ++c) {
        exponentials += exponential(widen(own[c]) - largest);
        total += widen(own[c]) - largest;
    }
    const Number normaliser = logarithm(exponentials), smoothing = label_smoothing;
    const Number of_target = widen(own[targets[row]]) - largest;
    losses[row] = narrow<Real>((1 - smoothing) * (normaliser - of_target) + smoothing * (normaliser - total / classes));
}
