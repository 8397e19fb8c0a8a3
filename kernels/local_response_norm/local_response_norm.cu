// Local response normalisation of channels-last activations: a block takes some pixels, its threads their channels.
//
// A channel's window is its neighbours in memory. A block brings its pixels into shared memory once, as the sums of a
// window read each of them `size` times, and the gradient needs two such sums, one of the result of the other. A
// running sum would be serial, lose digits, and carry one infinity on to every later channel.
//
// - `reference` (reference.py) makes a temporary array a step;
// - `pixels`, here, reads each array once and writes the result. The usual beta of 3/4 is two square roots.
//
// Definition: REAL, the element type; what is computed, and shared memory, is Wide<REAL>.
#include "cuda/types.cuh"

using Real = REAL;
using Number = Wide<Real>;

struct Response {
    int channels, size, before;
};

__device__ __forceinline__ float square_root(float x) { return sqrtf(x); }
__device__ __forceinline__ double square_root(double x) { return sqrt(x); }
__device__ __forceinline__ float power(float x, float y) { return powf(x, y); }
__device__ __forceinline__ double power(double x, double y) { return pow(x, y); }

__device__ __forceinline__ Number inverse_power(Number s, Number beta) {
    if (beta != Number(0.75)) return power(s, -beta);
    const Number root = square_root(s);
    return 1 / (root * square_root(root));
}

// Calls body(element, pixel, channel) for this thread's share of the block's pixels; `element` counts in the block.
template <class Body>
__device__ __forceinline__ void for_each_element(int channels, long long pixels, int pixels_a_block, Body body) {
    const long long first = (long long)blockIdx.x * pixels_a_block;
    const int here = int(min((long long)pixels_a_block, pixels - first));
    for (int element = threadIdx.x; element < here * channels; element += blockDim.x) {
        body(element, first + element / channels, element % channels);
    }
}

// s of the channel, from all channels of its pixel.
__device__ __forceinline__ Number denominator(
    const Response& r, Number alpha, Number k, const Number* pixel, int channel) {
    const int start = max(channel - r.before, 0), stop = min(channel - r.before + r.size, r.channels);
    Number sum = 0;
    for (int c = start; c < stop; ++c) sum += pixel[c] * pixel[c];
    return k + alpha * sum;
}

// `alpha` is divided by the size already.
extern "C" __global__ void __launch_bounds__(256, 4)
    forward(Response r, const Real* __restrict__ x, int distance, long long pixels, int pixels_a_block, Number alpha,
            Number beta, Number k, Real* __restrict__ y) {
    dynamic_shared(Number, values);
    for_each_element(r.channels, pixels, pixels_a_block, [&](int element, long long pixel, int channel) {
        values[element] = widen(x[pixel * distance + channel]);
    });
    __syncthreads();
    for_each_element(r.channels, pixels, pixels_a_block, [&](int element, long long pixel, int channel) {
        const Number s = denominator(r, alpha, k, values + (element - channel), channel);
        y[pixel * r.channels + channel] = narrow<Real>(values[element] * inverse_power(s, beta));
    });
}

// gx = gy * s**-beta - 2 alpha beta x * (sum of what each s passes on to the channels of its window).
extern "C" __global__ void __launch_bounds__(256, 4) input_gradient(
    Response r, const Real* __restrict__ gy, int gy_distance, const Real* __restrict__ x, int distance,
    long long pixels, int pixels_a_block, Number alpha, Number beta, Number k, Real* __restrict__ gx) {
    dynamic_shared(Number, shared);
    Number *values = shared, *sent = values + pixels_a_block * r.channels, *direct = sent + pixels_a_block * r.channels;
    for_each_element(r.channels, pixels, pixels_a_block, [&](int element, long long pixel, int channel) {
        values[element] = widen(x[pixel * distance + channel]);
    });
    __syncthreads();
    for_each_element(r.channels, pixels, pixels_a_block, [&](int element, long long pixel, int channel) {
        const Number s = denominator(r, alpha, k, values + (element - channel), channel);
        direct[element] = widen(gy[pixel * gy_distance + channel]) * inverse_power(s, beta);
        sent[element] = direct[element] * values[element] / s;
    });
    __syncthreads();
    for_each_element(r.channels, pixels, pixels_a_block, [&](int element, long long pixel, int channel) {
        // The windows that hold this channel are those of the channels around it, mirrored.
        const int after = r.size - 1 - r.before;
        const int start = max(channel - after, 0), stop = min(channel - after + r.size, r.channels);
        const Number* from = sent + (element - channel);
        Number sum = 0;
        for (int c = start; c < stop; ++c) sum += from[c];
        const Number through_s = 2 * alpha * beta * values[element] * sum;
        gx[pixel * r.channels + channel] = narrow<Real>(direct[element] - through_s);
    });
}
