// The order in which implicit_gemm.cu reads a filter, and the last step of its gradient: small arrays, one thread an
// element.
//
// Definition: REAL, the element type.
#include "cuda/types.cuh"

using Real = REAL;
using Sum = Wide<Real>;

// Where in a filter the element of a group's target channel, tap and source channel stands.
struct FilterStrides {
    int start, group, target, tap, source;
};

// packed[group, target, (tap, c)] with c < `padded`; zero from `sources` on.
extern "C" __global__ void __launch_bounds__(256, 4)
    pack(const Real* __restrict__ weight, FilterStrides strides, int groups, int targets, int taps, int sources,
         int padded, Real* __restrict__ packed) {
    const long long number = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const int c = int(number % padded), tap = int(number / padded % taps);
    const int target = int(number / padded / taps % targets), group = int(number / padded / taps / targets);
    if (group >= groups) return;
    const long long place = strides.start + (long long)group * strides.group + (long long)target * strides.target +
                            (long long)tap * strides.tap + (long long)c * strides.source;
    packed[number] = c < sources ? weight[place] : narrow<Real>(0);
}

// gweight[group, k, c, tap] = sum over `count` parts, in order, of parts[group, part, k, (tap, c)].
extern "C" __global__ void __launch_bounds__(256, 4)
    add_parts(const Sum* __restrict__ parts, int count, int groups, int targets, int taps, int sources, int padded,
              Real* __restrict__ gweight) {
    const long long number = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const int c = int(number % padded), tap = int(number / padded % taps);
    const int k = int(number / padded / taps % targets), group = int(number / padded / taps / targets);
    if (group >= groups || c >= sources) return;
    const long long size = (long long)targets * taps * padded;
    const Sum* part = parts + group * count * size + (k * taps + tap) * (long long)padded + c;
    Sum sum = 0;
    for (int i = 0; i < count; ++i, part += size) sum += *part;
    gweight[(((long long)group * targets + k) * sources + c) * taps + tap] = narrow<Real>(sum);
}
