// Bilinear interpolation of channels-last images: a block takes a row of pixels, a thread VECTOR channels of a pixel.
//
// Which pixels a place lies between stands in tables that the host makes once a shape, in float64, so that every
// device uses the same weights. Neighbouring threads hold neighbouring channels; the pixels that places have in common
// are found in the cache. Gradients are gathered: each pixel adds up what the places around it send, always in the
// same order, without atomics.
//
// - `reference` (reference.py) multiplies by matrices that are nearly all zeros;
// - `rows`, here, reads four pixels a place.
//
// Definitions: REAL, the element type; VECTOR, channels a thread.
#include "cuda/types.cuh"

using Real = REAL;
using Number = Wide<Real>;
using Reals = Vector<Real, VECTOR>;

struct Sizes {
    int height, width, rows, columns, channels;  // old pixels, new pixels
};

// What place `p` takes of pixel `h`, of `size` pixels.
__device__ __forceinline__ Number weight(const int* lower, const Number* fraction, int size, int p, int h) {
    const int before = lower[p], behind = min(before + 1, size - 1);
    return (before == h ? 1 - fraction[p] : Number(0)) + (behind == h ? fraction[p] : Number(0));
}

extern "C" __global__ void __launch_bounds__(256, 3) forward(
    Sizes s, const Real* __restrict__ x, int distance, const int* __restrict__ lower_rows,
    const Number* __restrict__ down, const int* __restrict__ lower_columns, const Number* __restrict__ across,
    Real* __restrict__ y) {
    const int n = blockIdx.x / s.rows, p = blockIdx.x % s.rows, vectors = s.channels / VECTOR;
    const long long upper = ((long long)n * s.height + lower_rows[p]) * s.width;
    const long long below = ((long long)n * s.height + min(lower_rows[p] + 1, s.height - 1)) * s.width;
    for (int i = threadIdx.x; i < s.columns * vectors; i += blockDim.x) {
        const int q = i / vectors, c = i % vectors * VECTOR;
        const int left = lower_columns[q], right = min(left + 1, s.width - 1);
        const Reals upper_left = load<VECTOR>(x + (upper + left) * distance + c);
        const Reals upper_right = load<VECTOR>(x + (upper + right) * distance + c);
        const Reals below_left = load<VECTOR>(x + (below + left) * distance + c);
        const Reals below_right = load<VECTOR>(x + (below + right) * distance + c);
        Reals result;
        for (int j = 0; j < VECTOR; ++j) {
            const Number share = across[q];
            const Number first = (1 - share) * widen(upper_left.lanes[j]) + share * widen(upper_right.lanes[j]);
            const Number second = (1 - share) * widen(below_left.lanes[j]) + share * widen(below_right.lanes[j]);
            result.lanes[j] = narrow<Real>((1 - down[p]) * first + down[p] * second);
        }
        store(y + ((long long)blockIdx.x * s.columns + q) * s.channels + c, result);
    }
}

extern "C" __global__ void __launch_bounds__(256, 3) input_gradient(
    Sizes s, const Real* __restrict__ gy, int distance, const int* __restrict__ lower_rows,
    const Number* __restrict__ down, const int* __restrict__ first_rows, const int* __restrict__ stop_rows,
    const int* __restrict__ lower_columns, const Number* __restrict__ across, const int* __restrict__ first_columns,
    const int* __restrict__ stop_columns, Real* __restrict__ gx) {
    const int n = blockIdx.x / s.height, h = blockIdx.x % s.height, vectors = s.channels / VECTOR;
    for (int i = threadIdx.x; i < s.width * vectors; i += blockDim.x) {
        const int w = i / vectors, c = i % vectors * VECTOR;
        Number sum[VECTOR] = {};
        for (int p = first_rows[h]; p < stop_rows[h]; ++p) {
            const Number of_row = weight(lower_rows, down, s.height, p, h);
            for (int q = first_columns[w]; q < stop_columns[w]; ++q) {
                const Number share = of_row * weight(lower_columns, across, s.width, q, w);
                const long long place = ((long long)n * s.rows + p) * s.columns + q;
                const Reals gradients = load<VECTOR>(gy + place * distance + c);
                for (int j = 0; j < VECTOR; ++j) sum[j] += share * widen(gradients.lanes[j]);
            }
        }
        Reals result;
        for (int j = 0; j < VECTOR; ++j) result.lanes[j] = narrow<Real>(sum[j]);
        store(gx + ((long long)blockIdx.x * s.width + w) * s.channels + c, result);
    }
}
