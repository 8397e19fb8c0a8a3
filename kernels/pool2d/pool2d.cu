// Pooling of channels-last activations: a block takes one row of pixels, its threads take VECTOR channels of a pixel each.
//
// Neighbouring threads hold neighbouring channels, so every access of a warp is one stretch of memory, up to 16 bytes a
// thread. Nothing is shared between threads: the rows that windows have in common are found in the cache. Gradients are
// gathered: each input pixel adds up, always in the same order, what the windows around it send. There are no atomics,
// and the sums of a run are those of the next.
//
// Definitions: REAL, the element type; INDEX, an unsigned type that numbers the elements of a window; VECTOR, channels a
// thread.
#include "cuda/types.cuh"

using Real = REAL;
using Index = INDEX;

// One axis of the windows. Adaptive windows have no size of their own, but follow from `input` and `outputs`.
struct Axis {
    int input, outputs, kernel, stride, padding, dilation, adaptive;
};

struct Pooling {
    Axis rows, columns;
    int channels;
    int count_padding;  // average pooling: whether the padding counts for the divisor
    int divisor;        // of every window; 0 if each has its own
};

struct Span {
    int start, stop;
};

__device__ __forceinline__ int divide_up(int a, int b) { return (a + b - 1) / b; }

// The taps of the window of output `p` that lie inside of the input. Empty for a window of padding only.
__device__ __forceinline__ Span taps_inside(const Axis& axis, int p) {
    const int start = p * axis.stride - axis.padding;
    const int first = start < 0 ? divide_up(-start, axis.dilation) : 0;
    const int stop = axis.input > start ? divide_up(axis.input - start, axis.dilation) : 0;
    return {min(first, axis.kernel - 1), min(stop, axis.kernel)};
}

// Which outputs have an input position among their windows' first to last element.
__device__ __forceinline__ Span windows_around(const Axis& axis, int position) {
    if (axis.adaptive) {
        const int first = int((long long)position * axis.outputs / axis.input);
        const int last = int(((long long)(position + 1) * axis.outputs - 1) / axis.input);
        return {first, min(last + 1, axis.outputs)};
    }
    const int reach = position + axis.padding - axis.dilation * (axis.kernel - 1);
    const int first = reach > 0 ? divide_up(reach, axis.stride) : 0;
    return {first, min((position + axis.padding) / axis.stride + 1, axis.outputs)};
}

// The tap of window `p` that meets `position`, or -1: a dilated window passes over some.
__device__ __forceinline__ int tap_at(const Axis& axis, int p, int position) {
    const int offset = position - (p * axis.stride - axis.padding);
    return offset % axis.dilation ? -1 : offset / axis.dilation;
}

// The elements of average window `p`, and what it counts for along this axis.
__device__ __forceinline__ Span window(const Axis& axis, int p, int count_padding, int& length) {
    if (axis.adaptive) {
        const int start = int((long long)p * axis.input / axis.outputs);
        const int stop = int(((long long)(p + 1) * axis.input + axis.outputs - 1) / axis.outputs);
        length = stop - start;
        return {start, stop};
    }
    const int start = p * axis.stride - axis.padding;
    const int stop = min(start + axis.kernel, axis.input + axis.padding);
    const Span inside = {max(start, 0), min(stop, axis.input)};
    length = count_padding ? stop - start : inside.stop - inside.start;
    return inside;
}

// What the sum of window (p, q) is multiplied by.
__device__ __forceinline__ Wide<Real> factor(const Pooling& pooling, int p, int q) {
    if (pooling.divisor) return Wide<Real>(1) / pooling.divisor;
    int down, across;
    window(pooling.rows, p, pooling.count_padding, down);
    window(pooling.columns, q, pooling.count_padding, across);
    return Wide<Real>(1) / (Wide<Real>(down) * across);
}

using Reals = Vector<Real, VECTOR>;
using Indices = Vector<Index, VECTOR>;

// Calls body(n, row, column, channel) for each thread's share of the row of `width` pixels that its block has.
template <class Body>
__device__ __forceinline__ void for_each_vector(int height, int width, int channels, Body body) {
    const int n = blockIdx.x / height, row = blockIdx.x % height;
    const int vectors = channels / VECTOR;
    for (int i = threadIdx.x; i < width * vectors; i += blockDim.x) {
        body(n, row, i / vectors, i % vectors * VECTOR);
    }
}

__device__ __forceinline__ long long pixel(const Axis& rows, const Axis& columns, int n, int h, int w) {
    return ((long long)n * rows.input + h) * columns.input + w;
}
__device__ __forceinline__ long long output_pixel(const Axis& rows, const Axis& columns, int n, int p, int q) {
    return ((long long)n * rows.outputs + p) * columns.outputs + q;
}

// Blocks a multiprocessor, in the launch bounds: as many as leave every thread the registers it wants, on every GPU.

// The largest of each window and, for PLACES, which it was: the first of equal ones; NaN is larger than everything, the
// last one wins.
template <bool PLACES>
__device__ __forceinline__ void largest(
    const Pooling& pooling, const Real* __restrict__ x, int x_distance, Real* __restrict__ y,
    Index* __restrict__ indices) {
    const Axis rows = pooling.rows, columns = pooling.columns;
    for_each_vector(rows.outputs, columns.outputs, pooling.channels, [&](int n, int p, int q, int c) {
        const Span down = taps_inside(rows, p), across = taps_inside(columns, q);
        Wide<Real> best[VECTOR];
        Indices chosen;
        for (int i = 0; i < VECTOR; ++i) {
            best[i] = -INFINITY;
            if constexpr (PLACES) chosen.lanes[i] = Index(down.start * columns.kernel + across.start);
        }
        for (int r = down.start; r < down.stop; ++r) {
            for (int s = across.start; s < across.stop; ++s) {
                const int h = p * rows.stride - rows.padding + r * rows.dilation;
                const int w = q * columns.stride - columns.padding + s * columns.dilation;
                const Reals values = load<VECTOR>(x + pixel(rows, columns, n, h, w) * x_distance + c);
                for (int i = 0; i < VECTOR; ++i) {
                    const Wide<Real> value = widen(values.lanes[i]);
                    if (value > best[i] || value != value) {
                        best[i] = value;
                        if constexpr (PLACES) chosen.lanes[i] = Index(r * columns.kernel + s);
                    }
                }
            }
        }
        Reals result;
        for (int i = 0; i < VECTOR; ++i) result.lanes[i] = narrow<Real>(best[i]);
        const long long place = output_pixel(rows, columns, n, p, q) * pooling.channels + c;
        store(y + place, result);
        if constexpr (PLACES) store(indices + place, chosen);
    });
}

extern "C" __global__ void __launch_bounds__(256, 3) max_forward(
    Pooling pooling, const Real* __restrict__ x, int x_distance, Real* __restrict__ y, Index* __restrict__ indices) {
    largest<true>(pooling, x, x_distance, y, indices);
}

extern "C" __global__ void __launch_bounds__(256, 3)
    max_values(Pooling pooling, const Real* __restrict__ x, int x_distance, Real* __restrict__ y) {
    largest<false>(pooling, x, x_distance, y, nullptr);
}

extern "C" __global__ void __launch_bounds__(256, 3) max_input_gradient(
    Pooling pooling, const Real* __restrict__ gy, int gy_distance, const Index* __restrict__ indices,
    int index_distance, Real* __restrict__ gx) {
    const Axis rows = pooling.rows, columns = pooling.columns;
    for_each_vector(rows.input, columns.input, pooling.channels, [&](int n, int h, int w, int c) {
        Wide<Real> sum[VECTOR] = {};
        const Span down = windows_around(rows, h), across = windows_around(columns, w);
        for (int p = down.start; p < down.stop; ++p) {
            const int r = tap_at(rows, p, h);
            for (int q = across.start; q < across.stop; ++q) {
                const int s = tap_at(columns, q, w);
                if (r < 0 || s < 0) continue;
                const long long place = output_pixel(rows, columns, n, p, q);
                const Reals gradients = load<VECTOR>(gy + place * gy_distance + c);
                const Indices chosen = load<VECTOR>(indices + place * index_distance + c);
                for (int i = 0; i < VECTOR; ++i) {
                    if (chosen.lanes[i] == Index(r * columns.kernel + s)) sum[i] += widen(gradients.lanes[i]);
                }
            }
        }
        Reals result;
        for (int i = 0; i < VECTOR; ++i) result.lanes[i] = narrow<Real>(sum[i]);
        store(gx + pixel(rows, columns, n, h, w) * pooling.channels + c, result);
    });
}

// The element of x that each window had chosen; 0 where the window has none.
extern "C" __global__ void __launch_bounds__(256, 3) max_gather(
    Pooling pooling, const Real* __restrict__ x, int x_distance, const Index* __restrict__ indices,
    int index_distance, Real* __restrict__ y) {
    const Axis rows = pooling.rows, columns = pooling.columns;
    for_each_vector(rows.outputs, columns.outputs, pooling.channels, [&](int n, int p, int q, int c) {
        const long long place = output_pixel(rows, columns, n, p, q);
        const Indices chosen = load<VECTOR>(indices + place * index_distance + c);
        Reals result;
        for (int i = 0; i < VECTOR; ++i) {
            const int tap = int(chosen.lanes[i]);
            const int h = p * rows.stride - rows.padding + tap / columns.kernel * rows.dilation;
            const int w = q * columns.stride - columns.padding + tap % columns.kernel * columns.dilation;
            const bool inside = h >= 0 && h < rows.input && w >= 0 && w < columns.input;
            result.lanes[i] = inside ? x[pixel(rows, columns, n, h, w) * x_distance + c + i] : narrow<Real>(0);
        }
        store(y + place * pooling.channels + c, result);
    });
}

extern "C" __global__ void __launch_bounds__(256, 2)
    average_forward(Pooling pooling, const Real* __restrict__ x, int x_distance, Real* __restrict__ y) {
    const Axis rows = pooling.rows, columns = pooling.columns;
    for_each_vector(rows.outputs, columns.outputs, pooling.channels, [&](int n, int p, int q, int c) {
        int length;
        const Span down = window(rows, p, pooling.count_padding, length);
        const Span across = window(columns, q, pooling.count_padding, length);
        Wide<Real> sum[VECTOR] = {};
        for (int h = down.start; h < down.stop; ++h) {
            for (int w = across.start; w < across.stop; ++w) {
                const Reals values = load<VECTOR>(x + pixel(rows, columns, n, h, w) * x_distance + c);
                for (int i = 0; i < VECTOR; ++i) sum[i] += widen(values.lanes[i]);
            }
        }
        Reals result;
        for (int i = 0; i < VECTOR; ++i) result.lanes[i] = narrow<Real>(sum[i] * factor(pooling, p, q));
        store(y + output_pixel(rows, columns, n, p, q) * pooling.channels + c, result);
    });
}

extern "C" __global__ void __launch_bounds__(256, 2)
    average_input_gradient(Pooling pooling, const Real* __restrict__ gy, int gy_distance, Real* __restrict__ gx) {
    const Axis rows = pooling.rows, columns = pooling.columns;
    for_each_vector(rows.input, columns.input, pooling.channels, [&](int n, int h, int w, int c) {
        Wide<Real> sum[VECTOR] = {};
        const Span down = windows_around(rows, h), across = windows_around(columns, w);
        for (int p = down.start; p < down.stop; ++p) {
            for (int q = across.start; q < across.stop; ++q) {
                const long long place = output_pixel(rows, columns, n, p, q);
                const Reals gradients = load<VECTOR>(gy + place * gy_distance + c);
                const Wide<Real> share = factor(pooling, p, q);
                for (int i = 0; i < VECTOR; ++i) sum[i] += widen(gradients.lanes[i]) * share;
            }
        }
        Reals result;
        for (int i = 0; i < VECTOR; ++i) result.lanes[i] = narrow<Real>(sum[i]);
        store(gx + pixel(rows, columns, n, h, w) * pooling.channels + c, result);
    });
}
