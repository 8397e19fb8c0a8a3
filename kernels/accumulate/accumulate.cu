// The sum of two arrays: a stream of additions, 16 bytes a thread, and nothing but memory to wait for.
//
// What lies in memory as rows of `channels` elements at a fixed distance (channels-last activations, slices of them,
// and flat arrays as one row) is added row by row. Each sum is computed in Wide<REAL> and rounded once, so it has the
// same bits on every device.
//
// - `reference` (reference.py) is the library's addition, made for any strides;
// - `stream`, here.
//
// Definitions: REAL, the element type; VECTOR, elements a thread.
#include "cuda/types.cuh"

using Real = REAL;
using Reals = Vector<Real, VECTOR>;

// y = a + b; y may be a. There are rows * channels / VECTOR vectors.
extern "C" __global__ void __launch_bounds__(256, 4)
    add(const Real* a, int a_distance, const Real* b, int b_distance, long long vectors, int channels, Real* y,
        int y_distance) {
    const int vectors_a_row = channels / VECTOR;
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < vectors; i += step) {
        const long long row = i / vectors_a_row;
        const int c = int(i - row * vectors_a_row) * VECTOR;
        const Reals left = load<VECTOR>(a + row * a_distance + c), right = load<VECTOR>(b + row * b_distance + c);
        Reals sum;
        for (int j = 0; j < VECTOR; ++j) sum.lanes[j] = narrow<Real>(widen(left.lanes[j]) + widen(right.lanes[j]));
        store(y + row * y_distance + c, sum);
    }
}
