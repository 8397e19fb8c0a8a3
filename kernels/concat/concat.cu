// One part of a concatenation along the channels: the rows of channels of its pixels, copied into their place.
//
// A copy knows no numbers, only bytes: UNIT is an unsigned type of 1 to 16 bytes, the largest of which each row of the
// part is a whole number. Neighbouring threads copy neighbouring units; a block walks over 256 units at a time, so
// that rows of any length keep all its threads busy.
//
// Definition: UNIT.
#include "cuda/types.cuh"

extern "C" __global__ void __launch_bounds__(256) copy_rows(
    const UNIT* __restrict__ x, long long x_distance, UNIT* __restrict__ y, long long y_distance, int units,
    long long all_units) {
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < all_units; i += step) {
        const long long pixel = i / units;
        const int unit = int(i - pixel * units);
        y[pixel * y_distance + unit] = x[pixel * x_distance + unit];
    }
}
