// Dropout in one pass: a thread draws the four words of a random block and multiplies its four elements.
//
// The mask is never in memory. Ten rounds of Philox are some 60 integer operations for 4 elements, which hide behind
// the loads and stores.
//
// - `reference` (reference.py) draws all words first, in 64-bit arrays;
// - `four_a_thread`, here, keeps them in registers.
//
// Definition: REAL, the element type.
#include "cuda/types.cuh"
#include "philox/philox.cuh"

using Real = REAL;
using Number = Wide<Real>;
using Four = Vector<Real, 4>;

// y = x * (word >= threshold ? scale : 0) in row-major order; a NaN stays one. `base`, if any, adds to the offset.
extern "C" __global__ void __launch_bounds__(256, 4)
    drop(const Real* __restrict__ x, long long size, unsigned long long seed, unsigned long long offset,
         const unsigned long long* __restrict__ base, unsigned long long threshold, double scale,
         Real* __restrict__ y) {
    if (base) offset += *base;
    const bool whole = (reinterpret_cast<size_t>(x) | reinterpret_cast<size_t>(y)) % sizeof(Four) == 0;
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long block = (long long)blockIdx.x * blockDim.x + threadIdx.x; 4 * block < size; block += step) {
        const RandomWords words = philox(seed, offset + (unsigned long long)block);
        const long long first = 4 * block;
        const int count = size - first < 4 ? int(size - first) : 4;
        Four values;
        if (whole && count == 4) {
            values = load<4>(x + first);
        } else {
            for (int i = 0; i < 4; ++i) values.lanes[i] = i < count ? x[first + i] : narrow<Real>(0);
        }
        for (int i = 0; i < 4; ++i) {
            const Number factor = words.lanes[i] >= threshold ? Number(scale) : Number(0);
            values.lanes[i] = narrow<Real>(widen(values.lanes[i]) * factor);
        }
        if (whole && count == 4) {
            store(y + first, values);
        } else {
            for (int i = 0; i < 4; ++i) {
                if (i < count) y[first + i] = values.lanes[i];
            }
        }
    }
}
