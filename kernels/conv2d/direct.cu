// Convolution for reading: one thread computes one element of the result, straight from the definition.
//
// Neighbouring threads have neighbouring channels, so what they read of an activation's pixel is shared or adjacent;
// nothing is kept on the chip, and every product costs two reads. The gradient of the input is the same gather over
// gy (../conv2d/geometry.py). Sums are float, or double for double, in the order of the taps.
//
// Definition: REAL, the element type.
#include "cuda/types.cuh"

using Real = REAL;
using Sum = Wide<Real>;

// Tap t of target position p meets source position (p * stride + origin + t * dilation) / step, where that leaves no
// rest.
struct Axis {
    int source, target, taps, stride, origin, dilation, step;
};

struct Gather {
    Axis rows, columns;
    int images, groups;
    int sources, targets;  // channels of one group
};

// Where in the filter the product of tap, source channel and target channel of a group stands.
struct FilterStrides {
    int start, group, tap, source, target;
};

// The source position of a tap, or -1.
__device__ __forceinline__ int met(const Axis& axis, int position, int tap) {
    const int place = position * axis.stride + axis.origin + tap * axis.dilation;
    return place < 0 || place % axis.step || place / axis.step >= axis.source ? -1 : place / axis.step;
}

__device__ __forceinline__ long long pixel(int image, const Axis& rows, const Axis& columns, int h, int w) {
    return ((long long)image * rows.source + h) * columns.source + w;
}

extern "C" __global__ void __launch_bounds__(256, 4)
    gather(Gather problem, const Real* __restrict__ x, int x_distance, const Real* __restrict__ weight,
           FilterStrides strides, const Real* __restrict__ bias, Real* __restrict__ y, int y_distance, int relu) {
    const Axis rows = problem.rows, columns = problem.columns;
    const int channels = problem.groups * problem.targets;
    const long long number = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const long long place = number / channels;  // the target pixel
    const int channel = int(number % channels);
    const int group = channel / problem.targets, target = channel % problem.targets;
    const int q = int(place % columns.target), p = int(place / columns.target % rows.target);
    const int image = int(place / columns.target / rows.target);
    if (image >= problem.images) return;
    Sum sum = bias ? widen(bias[channel]) : Sum(0);
    for (int r = 0; r < rows.taps; ++r) {
        for (int s = 0; s < columns.taps; ++s) {
            const int h = met(rows, p, r), w = met(columns, q, s);
            if (h < 0 || w < 0) continue;
            const Real* source = x + pixel(image, rows, columns, h, w) * x_distance + group * problem.sources;
            const Real* filter = weight + strides.start + (long long)group * strides.group + target * strides.target +
                                 (r * columns.taps + s) * strides.tap;
            for (int c = 0; c < problem.sources; ++c) sum += widen(source[c]) * widen(filter[c * strides.source]);
        }
    }
    if (relu && sum < 0) sum = 0;  // NaN stays
    y[place * y_distance + channel] = narrow<Real>(sum);
}

// gweight (K, C/groups, R, S): each thread walks over all pixels.
extern "C" __global__ void __launch_bounds__(256, 4)
    weight_gradient(Gather problem, const Real* __restrict__ x, int x_distance, const Real* __restrict__ gy,
                    int gy_distance, Real* __restrict__ gweight) {
    const Axis rows = problem.rows, columns = problem.columns;
    const int number = blockIdx.x * blockDim.x + threadIdx.x;
    const int taps = rows.taps * columns.taps;
    const int s = number % columns.taps, r = number % taps / columns.taps;
    const int c = number / taps % problem.sources, k = number / taps / problem.sources;
    if (k >= problem.groups * problem.targets) return;
    const int channel = k / problem.targets * problem.sources + c;
    Sum sum = 0;
    for (int image = 0; image < problem.images; ++image) {
        for (int p = 0; p < rows.target; ++p) {
            const int h = met(rows, p, r);
            if (h < 0) continue;
            const long long line = ((long long)image * rows.target + p) * columns.target;
            for (int q = 0; q < columns.target; ++q) {
                const int w = met(columns, q, s);
                if (w < 0) continue;
                sum += widen(gy[(line + q) * gy_distance + k]) *
                       widen(x[pixel(image, rows, columns, h, w) * x_distance + channel]);
            }
        }
    }
    gweight[number] = narrow<Real>(sum);
}
