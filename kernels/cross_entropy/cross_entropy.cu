// Softmax cross-entropy and its gradient: a warp takes a row of logits, its lanes every 32nd class.
//
// The caller checks the targets; where it has not, a target that is no class gives NaN and reads nothing it must not.
// A row is read three times (the largest logit, the sum of exponentials, the result) and lies in the first-level cache
// after the first. The lanes' sums meet in shuffles, in an order that depends on the number of classes alone; no lane
// waits for another warp.
//
// - `reference` (reference.py) makes several temporary matrices;
// - `warps`, here, makes none.
//
// Definitions: REAL, the element type of logits and losses; TARGET, that of the class indices.
#include "cuda/types.cuh"

using Real = REAL;
using Number = Wide<Real>;
using Target = TARGET;

constexpr unsigned ALL_LANES = 0xffffffffu;

__device__ __forceinline__ float exponential(float x) { return expf(x); }
__device__ __forceinline__ double exponential(double x) { return exp(x); }
__device__ __forceinline__ float logarithm(float x) { return logf(x); }
__device__ __forceinline__ double logarithm(double x) { return log(x); }

// Sums of one row, the same in all lanes.
struct Row {
    Number largest, exponentials, total;  // of exp(logit - largest), and of logit - largest
};

__device__ __forceinline__ Row sums_of(const Real* logits, int classes, int lane) {
    Number largest = -INFINITY;
    for (int c = lane; c < classes; c += 32) {
        const Number value = widen(logits[c]);
        largest = value > largest ? value : largest;
    }
    for (int bits = 16; bits > 0; bits /= 2) {
        const Number other = __shfl_xor_sync(ALL_LANES, largest, bits);
        largest = other > largest ? other : largest;
    }
    Number exponentials = 0, total = 0;
    for (int c = lane; c < classes; c += 32) {
        const Number shifted = widen(logits[c]) - largest;
        exponentials += exponential(shifted);
        total += shifted;
    }
    for (int bits = 16; bits > 0; bits /= 2) {  // a + b is b + a, so every lane has the same bits
        exponentials += __shfl_xor_sync(ALL_LANES, exponentials, bits);
        total += __shfl_xor_sync(ALL_LANES, total, bits);
    }
    return {largest, exponentials, total};
}

__device__ __forceinline__ Number not_a_number() { return __int_as_float(0x7fffffff); }
__device__ __forceinline__ bool is_class(Target target, int classes) { return target >= 0 && target < classes; }
__device__ __forceinline__ int row_of_this_warp() { return (blockIdx.x * blockDim.x + threadIdx.x) / 32; }

extern "C" __global__ void __launch_bounds__(128, 8) losses(
    const Real* __restrict__ logits, const Target* __restrict__ targets, int rows, int classes,
    double label_smoothing, long long ignore_index, Real* __restrict__ result) {
    const int row = row_of_this_warp(), lane = threadIdx.x % 32;
    if (row >= rows) return;
    const Real* own = logits + (long long)row * classes;
    const Target target = targets[row];
    if (target == ignore_index) {
        if (lane == 0) result[row] = narrow<Real>(0);
        return;
    }
    const Row sums = sums_of(own, classes, lane);
    if (lane == 0) {
        const Number normaliser = logarithm(sums.exponentials);
        const Number of_target = is_class(target, classes) ? widen(own[target]) : not_a_number();
        Number loss = Number(1 - label_smoothing) * (normaliser - (of_target - sums.largest));
        // Without smoothing a logit of minus infinity is a class like any other.
        if (label_smoothing != 0) loss += Number(label_smoothing) * (normaliser - sums.total / classes);
        result[row] = narrow<Real>(loss);
    }
}

extern "C" __global__ void __launch_bounds__(128, 8) gradients(
    const Real* __restrict__ glosses, const Real* __restrict__ logits, const Target* __restrict__ targets, int rows,
    int classes, double label_smoothing, long long ignore_index, Real* __restrict__ glogits) {
    const int row = row_of_this_warp(), lane = threadIdx.x % 32;
    if (row >= rows) return;
    const Real* own = logits + (long long)row * classes;
    Real* results = glogits + (long long)row * classes;
    const Target target = targets[row];
    if (target == ignore_index) {
        for (int c = lane; c < classes; c += 32) results[c] = narrow<Real>(0);
        return;
    }
    const Row sums = sums_of(own, classes, lane);
    const Number every = Number(label_smoothing / classes);
    const Number gloss = is_class(target, classes) ? widen(glosses[row]) : not_a_number();
    for (int c = lane; c < classes; c += 32) {
        Number difference = exponential(widen(own[c]) - sums.largest) / sums.exponentials - every;
        if (c == target) difference -= Number(1 - label_smoothing);
        results[c] = narrow<Real>(gloss * difference);
    }
}
