// Many arrays cast to another type in one launch: a block takes one chunk of one array.
//
// Memory is the cost; a thread moves four numbers at once where both arrays are aligned for that. A filter (k, c, tap) may
// become one that lies (k, tap, c), as convolutions read it; its numbers are then moved one by one.
//
// Definitions: FROM and TO, the element types, one of which is float.
#include "cuda/types.cuh"

constexpr int THREADS = 256;
constexpr int WIDTH = 4;

struct Chunk {
    unsigned long long source, target;  // addresses: of the array, and of the chunk's first element
    long long start, length;
    long long channels, taps;  // of a filter whose order changes; taps is 1 where it does not
};

template <int N>
__device__ __forceinline__ void cast_some(const FROM* source, TO* target) {
    const Vector<FROM, N> numbers = load<N>(source);
    Vector<TO, N> results;
    for (int i = 0; i < N; ++i) results.lanes[i] = narrow<TO>(widen(numbers.lanes[i]));
    store(target, results);
}

extern "C" __global__ void __launch_bounds__(256, 4) cast(const Chunk* __restrict__ table) {
    const Chunk chunk = table[blockIdx.x];
    TO* const target = reinterpret_cast<TO*>(chunk.target);
    if (chunk.taps > 1) {
        const FROM* const filter = reinterpret_cast<const FROM*>(chunk.source);
        const unsigned start = unsigned(chunk.start), channels = unsigned(chunk.channels), taps = unsigned(chunk.taps);
        for (unsigned i = threadIdx.x; i < chunk.length; i += THREADS) {
            const unsigned row = (start + i) / channels, c = (start + i) % channels;
            cast_some<1>(filter + (row / taps * channels + c) * (long long)taps + row % taps, target + i);
        }
        return;
    }
    const FROM* const source = reinterpret_cast<const FROM*>(chunk.source) + chunk.start;
    const bool aligned = reinterpret_cast<size_t>(source) % (WIDTH * sizeof(FROM)) == 0 &&
                         chunk.target % (WIDTH * sizeof(TO)) == 0;
    const long long done = aligned ? chunk.length / WIDTH * WIDTH : 0;
    for (long long i = threadIdx.x * WIDTH; i < done; i += THREADS * WIDTH) cast_some<WIDTH>(source + i, target + i);
    for (long long i = done + threadIdx.x; i < chunk.length; i += THREADS) cast_some<1>(source + i, target + i);
}
