// Batch normalisation of channels-last activations. Memory is the cost, so x is read twice forward (statistics, then
// normalise + ReLU) and gy and x twice backward (sums, then gx); the ReLU mask is computed again instead of kept.
//
// Neighbouring threads hold neighbouring channels, VECTOR of them in up to 16 bytes; the rows of a block (threadIdx.y)
// take the pixels of one segment in turn. Sums never meet in an atomic: rows merge in a tree in shared memory, segments
// merge in `finish_...` in an order that depends on the shape alone, so the sums of a run are those of the next.
//
// - `reference` (reference.py) passes over whole arrays once a step of the formula;
// - `rows`, here, moves each array the least number of times that one kernel a pass can.
//
// Definitions: REAL, the element type of activations; everything by channel is Wide<REAL>. VECTOR, channels a thread.
#include "cuda/moments.cuh"
#include "cuda/types.cuh"

using Real = REAL;
using Number = Wide<Real>;
using Reals = Vector<Real, VECTOR>;

constexpr int FINISHING_ROWS = 8;  // of a block of 32 channels
constexpr int MOST_THREADS = 256;

using BatchMoments = Moments<Number>;

// Of gy, and of gy * (x - mean), where y was not cut.
struct GradientSums {
    Number gradients, products;

    __device__ __forceinline__ void merge(const GradientSums& other) {
        gradients += other.gradients;
        products += other.products;
    }
};

// What a thread knows of its channels.
struct Affine {
    Number mean[VECTOR], scale[VECTOR], bias[VECTOR];
};

// The y of forward before the cut; backward must find the very same, so no compiler may choose how it is rounded.
__device__ __forceinline__ float normalise(float x, float mean, float scale, float bias) {
    return fmaf(x - mean, scale, bias);
}
__device__ __forceinline__ double normalise(double x, double mean, double scale, double bias) {
    return fma(x - mean, scale, bias);
}
__device__ __forceinline__ Number normalise(Number x, const Affine& affine, int i) {
    return normalise(x, affine.mean[i], affine.scale[i], affine.bias[i]);
}
__device__ __forceinline__ float inverse_root(float x) { return 1.0f / sqrtf(x); }
__device__ __forceinline__ double inverse_root(double x) { return 1.0 / sqrt(x); }

// The first channel of this thread.
__device__ __forceinline__ int first_channel() { return (blockIdx.x * blockDim.x + threadIdx.x) * VECTOR; }

// The first pixel of a segment, one of `segments` that are equally long but for the last ones.
__device__ __forceinline__ int segment_start(int segment, int segments, int pixels) {
    return int((long long)pixels * segment / segments);
}

// Calls body(pixel) for the pixels of this block's segment that fall to this thread's row.
template <class Body>
__device__ __forceinline__ void for_each_pixel(int pixels, Body body) {
    const int stop = segment_start(blockIdx.y + 1, gridDim.y, pixels);
    for (int pixel = segment_start(blockIdx.y, gridDim.y, pixels) + threadIdx.y; pixel < stop; pixel += blockDim.y) {
        body(pixel);
    }
}

__device__ __forceinline__ Reals read(const Real* rows, int pixel, int distance, int channel) {
    return load<VECTOR>(rows + (long long)pixel * distance + channel);
}

// Merges the sums of a block's rows into those of row 0. `blockDim.y` is a power of two. All threads call it.
template <int COUNT, class Sums>
__device__ __forceinline__ void merge_rows(Sums (&sums)[COUNT], Sums* shared) {
    const int threads = blockDim.x * blockDim.y, own = threadIdx.y * blockDim.x + threadIdx.x;
    for (int i = 0; i < COUNT; ++i) shared[i * threads + own] = sums[i];
    for (int rows = blockDim.y / 2; rows > 0; rows /= 2) {
        __syncthreads();
        if (threadIdx.y < rows) {
            for (int i = 0; i < COUNT; ++i) {
                sums[i].merge(shared[i * threads + own + rows * blockDim.x]);
                shared[i * threads + own] = sums[i];
            }
        }
    }
}

// partial[segment][channel] = the moments of the segment, of x less the channel's first element: means are small then.
extern "C" __global__ void __launch_bounds__(256, 2)
    moments(const Real* __restrict__ x, int distance, int pixels, int channels, Number* __restrict__ partial) {
    dynamic_shared(BatchMoments, shared);
    const int channel = first_channel();
    const bool mine = channel < channels;
    BatchMoments sums[VECTOR] = {};
    if (mine) {
        Number first[VECTOR], total[VECTOR] = {}, squares[VECTOR] = {};
        int count = 0;
        for_each_pixel(pixels, [&](int pixel) {
            const Reals values = read(x, pixel, distance, channel);
            for (int i = 0; i < VECTOR; ++i) {
                const Number value = widen(values.lanes[i]);
                if (count == 0) first[i] = value;
                const Number difference = value - first[i];
                total[i] += difference;
                squares[i] += difference * difference;
            }
            ++count;
        });
        if (count > 0) {
            const Reals guess = read(x, 0, distance, channel);
            for (int i = 0; i < VECTOR; ++i) {
                const Number mean = total[i] / count;
                sums[i] = {Number(count), first[i] - widen(guess.lanes[i]) + mean, squares[i] - total[i] * mean};
            }
        }
    }
    merge_rows(sums, shared);
    if (mine && threadIdx.y == 0) {
        for (int i = 0; i < VECTOR; ++i) {
            Number* place = partial + ((long long)blockIdx.y * channels + channel + i) * 2;
            place[0] = sums[i].mean;
            place[1] = sums[i].squares;
        }
    }
}

// Mean and variance from the partial moments of all segments; 32 channels a block.
extern "C" __global__ void __launch_bounds__(256, 2) finish_moments(
    const Number* __restrict__ partial, int segments, const Real* __restrict__ x, int pixels, int channels,
    Number* __restrict__ mean, Number* __restrict__ variance) {
    __shared__ BatchMoments shared[MOST_THREADS];
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    BatchMoments sums[1] = {};
    for (int segment = threadIdx.y; channel < channels && segment < segments; segment += blockDim.y) {
        const Number* place = partial + ((long long)segment * channels + channel) * 2;
        const int count = segment_start(segment + 1, segments, pixels) - segment_start(segment, segments, pixels);
        sums[0].merge({Number(count), place[0], place[1]});
    }
    merge_rows(sums, shared);
    if (channel < channels && threadIdx.y == 0) {
        // Rounding can leave a little less than nothing.
        const Number spread = sums[0].squares / sums[0].count;
        mean[channel] = widen(x[channel]) + sums[0].mean;
        variance[channel] = spread < 0 ? Number(0) : spread;
    }
}

// How far running statistics move: a number, or where it lies; `unbiased` is count / (count - 1).
struct Momentum {
    Number keep, take, unbiased;

    __device__ __forceinline__ Momentum(const double* place, double number, double unbiased)
        : keep(1 - (place ? *place : number)), take(place ? *place : number), unbiased(unbiased) {}

    __device__ __forceinline__ void move(Number& mean, Number& variance, Number batch_mean, Number batch_variance) const {
        mean = keep * mean + take * batch_mean;
        variance = keep * variance + take * (batch_variance * unbiased);
    }
};

// y = max(floor, (x - mean) * scale + bias) for the pixels of the block; a NaN stays one.
__device__ __forceinline__ void apply(
    const Real* x, int distance, int pixels, int channels, int channel, const Affine& affine, Number floor, Real* y,
    int y_distance) {
    for_each_pixel(pixels, [&](int pixel) {
        Reals values = read(x, pixel, distance, channel);
        for (int i = 0; i < VECTOR; ++i) {
            const Number value = normalise(widen(values.lanes[i]), affine, i);
            values.lanes[i] = narrow<Real>(value < floor ? floor : value);
        }
        store(y + (long long)pixel * y_distance + channel, values);
    });
}

__device__ __forceinline__ Affine affine_of(
    int channel, const Number* mean, const Number* inverse_std, const Number* weight, const Number* bias) {
    Affine affine;
    for (int i = 0; i < VECTOR; ++i) {
        affine.mean[i] = mean[channel + i];
        affine.scale[i] = weight[channel + i] * inverse_std[channel + i];
        affine.bias[i] = bias[channel + i];
    }
    return affine;
}

// The same where the variance is given: the root is taken once a thread, an element costs a subtraction and one
// multiply-add. (Folding the mean into the bias would save the subtraction, which is free beside memory, and lose digits.)
__device__ __forceinline__ Affine affine_of(
    int channel, const Number* mean, const Number* variance, double epsilon, const Number* weight,
    const Number* bias, Number (&inverse_std)[VECTOR]) {
    Affine affine;
    for (int i = 0; i < VECTOR; ++i) {
        inverse_std[i] = inverse_root(variance[channel + i] + Number(epsilon));
        affine.mean[i] = mean[channel + i];
        affine.scale[i] = weight[channel + i] * inverse_std[i];
        affine.bias[i] = bias[channel + i];
    }
    return affine;
}

// With the batch's statistics. The first thread of each channel also tells `inverse_std` and moves the running
// statistics, where there are some, which would be launches of their own; one of all counts the batch.
extern "C" __global__ void __launch_bounds__(256, 4) normalise_rows(
    const Real* __restrict__ x, int distance, int pixels, int channels, const Number* __restrict__ mean,
    const Number* __restrict__ variance, const Number* __restrict__ weight, const Number* __restrict__ bias,
    double epsilon, Number floor, Real* __restrict__ y, int y_distance, Number* __restrict__ inverse_std,
    Number* __restrict__ running_mean, Number* __restrict__ running_variance, long long* __restrict__ batches,
    const double* __restrict__ momentum_place, double momentum, double unbiased) {
    const int channel = first_channel();
    if (channel >= channels) return;
    Number inverse[VECTOR];
    const Affine affine = affine_of(channel, mean, variance, epsilon, weight, bias, inverse);
    if (blockIdx.y == 0 && threadIdx.y == 0) {
        for (int i = 0; i < VECTOR; ++i) inverse_std[channel + i] = inverse[i];
        if (running_mean) {
            const Momentum step(momentum_place, momentum, unbiased);
            for (int i = channel; i < channel + VECTOR; ++i) {
                step.move(running_mean[i], running_variance[i], mean[i], variance[i]);
            }
        }
        if (batches && channel == 0) ++*batches;
    }
    apply(x, distance, pixels, channels, channel, affine, floor, y, y_distance);
}

// With given statistics.
extern "C" __global__ void __launch_bounds__(256, 4) evaluate_rows(
    const Real* __restrict__ x, int distance, int pixels, int channels, const Number* __restrict__ mean,
    const Number* __restrict__ variance, const Number* __restrict__ weight, const Number* __restrict__ bias,
    double epsilon, Number floor, Real* __restrict__ y, int y_distance) {
    const int channel = first_channel();
    if (channel >= channels) return;
    Number inverse[VECTOR];
    const Affine affine = affine_of(channel, mean, variance, epsilon, weight, bias, inverse);
    apply(x, distance, pixels, channels, channel, affine, floor, y, y_distance);
}

// partial[segment][channel] = the gradient sums of the segment.
extern "C" __global__ void __launch_bounds__(256, 2) gradient_sums(
    const Real* __restrict__ gy, int gy_distance, const Real* __restrict__ x, int distance, int pixels, int channels,
    const Number* __restrict__ mean, const Number* __restrict__ inverse_std, const Number* __restrict__ weight,
    const Number* __restrict__ bias, Number floor, Number* __restrict__ partial) {
    dynamic_shared(GradientSums, shared);
    const int channel = first_channel();
    const bool mine = channel < channels;
    GradientSums sums[VECTOR] = {};
    if (mine) {
        const Affine affine = affine_of(channel, mean, inverse_std, weight, bias);
        for_each_pixel(pixels, [&](int pixel) {
            const Reals gradients = read(gy, pixel, gy_distance, channel);
            const Reals values = read(x, pixel, distance, channel);
            for (int i = 0; i < VECTOR; ++i) {
                const Number value = widen(values.lanes[i]);
                const bool cut = normalise(value, affine, i) <= floor;
                const Number gradient = cut ? Number(0) : widen(gradients.lanes[i]);
                sums[i].merge({gradient, gradient * (value - affine.mean[i])});
            }
        });
    }
    merge_rows(sums, shared);
    if (mine && threadIdx.y == 0) {
        for (int i = 0; i < VECTOR; ++i) {
            Number* place = partial + ((long long)blockIdx.y * channels + channel + i) * 2;
            place[0] = sums[i].gradients;
            place[1] = sums[i].products;
        }
    }
}

// The gradients of weight and bias from the partial sums of all segments; 32 channels a block.
extern "C" __global__ void __launch_bounds__(256, 2) finish_gradient_sums(
    const Number* __restrict__ partial, int segments, int channels, const Number* __restrict__ inverse_std,
    Number* __restrict__ gweight, Number* __restrict__ gbias) {
    __shared__ GradientSums shared[MOST_THREADS];
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    GradientSums sums[1] = {};
    for (int segment = threadIdx.y; channel < channels && segment < segments; segment += blockDim.y) {
        const Number* place = partial + ((long long)segment * channels + channel) * 2;
        sums[0].merge({place[0], place[1]});
    }
    merge_rows(sums, shared);
    if (channel < channels && threadIdx.y == 0) {
        gweight[channel] = sums[0].products * inverse_std[channel];
        gbias[channel] = sums[0].gradients;
    }
}

// gx = scale * (gy where y was not cut - gbias / pixels - (x - mean) * inverse_std * gweight / pixels).
extern "C" __global__ void __launch_bounds__(256, 2) input_gradient(
    const Real* __restrict__ gy, int gy_distance, const Real* __restrict__ x, int distance, int pixels, int channels,
    const Number* __restrict__ mean, const Number* __restrict__ inverse_std, const Number* __restrict__ weight,
    const Number* __restrict__ bias, Number floor, const Number* __restrict__ gweight,
    const Number* __restrict__ gbias, Real* __restrict__ gx, int gx_distance) {
    const int channel = first_channel();
    if (channel >= channels) return;
    const Affine affine = affine_of(channel, mean, inverse_std, weight, bias);
    Number slope[VECTOR], offset[VECTOR];
    for (int i = 0; i < VECTOR; ++i) {
        slope[i] = -affine.scale[i] * inverse_std[channel + i] * (gweight[channel + i] / pixels);
        offset[i] = -affine.scale[i] * (gbias[channel + i] / pixels);
    }
    for_each_pixel(pixels, [&](int pixel) {
        const Reals gradients = read(gy, pixel, gy_distance, channel);
        Reals values = read(x, pixel, distance, channel);
        for (int i = 0; i < VECTOR; ++i) {
            const Number value = widen(values.lanes[i]);
            const bool cut = normalise(value, affine, i) <= floor;
            const Number gradient = cut ? Number(0) : widen(gradients.lanes[i]);
            const Number through_statistics = slope[i] * (value - affine.mean[i]) + offset[i];
            values.lanes[i] = narrow<Real>(affine.scale[i] * gradient + through_statistics);
        }
        store(gx + (long long)pixel * gx_distance + channel, values);
    });
}

// The running statistics a step towards the batch's. One thread a channel.
extern "C" __global__ void __launch_bounds__(256, 4) move_statistics(
    Number* __restrict__ running_mean, Number* __restrict__ running_variance, const Number* __restrict__ mean,
    const Number* __restrict__ variance, int channels, const double* __restrict__ momentum_place, double momentum,
    double unbiased) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= channels) return;
    const Momentum step(momentum_place, momentum, unbiased);
    step.move(running_mean[channel], running_variance[channel], mean[channel], variance[channel]);
}
