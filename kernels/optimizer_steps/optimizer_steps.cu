// One optimiser step over all parameters in one launch: a block takes one chunk of one parameter.
//
// A table in memory says where each chunk's arrays lie, so that a network's many small parameters cost one launch and
// its few large ones fill the GPU. Each element is read and written once, 16 bytes a thread where all of a chunk's
// arrays are aligned. Elements know nothing of one another; only the squared norm sums them, in an order that depends
// on the chunks alone. Numbers that change from step to step may lie in memory, so that a captured step reads new
// ones at each launch: the learning rate, the steps of each parameter, and the factor of its gradients, of which
// `control` decides. Where the factor is not finite nothing changes, and no one waits for that decision.
//
// - `reference` (reference.py) passes over each parameter once a step of the formula;
// - `multi_tensor`, here, passes over all of them once.
//
// Definition: REAL, the element type of every array; what is computed is Wide<REAL>.
#include "cuda/types.cuh"

using Real = REAL;
using Number = Wide<Real>;

constexpr int THREADS = 256;
constexpr int WIDTH = 16 / sizeof(Real);
constexpr int MOST_ARRAYS = 5;

// State that an optimiser does not use has no address: it reads as zeros, and nothing is written.
struct Chunk {
    unsigned long long arrays[MOST_ARRAYS];
    const long long* steps;  // of the parameter; none where the launch tells them
    long long length;
};

__device__ __forceinline__ Real* array_of(const Chunk& chunk, int i) {
    return reinterpret_cast<Real*>(chunk.arrays[i]);
}
__device__ __forceinline__ float square_root(float x) { return sqrtf(x); }
__device__ __forceinline__ double square_root(double x) { return sqrt(x); }
__device__ __forceinline__ double not_a_number() { return __int_as_float(0x7fffffff); }

// Whether each of the first ARRAYS arrays can be read 16 bytes at a time.
template <int ARRAYS>
__device__ __forceinline__ bool aligned(const Chunk& chunk) {
    unsigned long long bits = 0;
    for (int i = 0; i < ARRAYS; ++i) bits |= chunk.arrays[i];
    return bits % 16 == 0;
}

// Calls body(values) for N elements of each array at a time, and writes back all of them but array 1, the gradient.
template <int N, int ARRAYS, class Body>
__device__ __forceinline__ void update_some(const Chunk& chunk, long long start, Body body) {
    Vector<Real, N> elements[ARRAYS];
    for (int i = 0; i < ARRAYS; ++i) {
        if (chunk.arrays[i]) elements[i] = load<N>(array_of(chunk, i) + start);
    }
    for (int lane = 0; lane < N; ++lane) {
        Number values[ARRAYS];
        for (int i = 0; i < ARRAYS; ++i) values[i] = chunk.arrays[i] ? widen(elements[i].lanes[lane]) : Number(0);
        body(values);
        for (int i = 0; i < ARRAYS; ++i) elements[i].lanes[lane] = narrow<Real>(values[i]);
    }
    for (int i = 0; i < ARRAYS; ++i) {
        if (i != 1 && chunk.arrays[i]) store(array_of(chunk, i) + start, elements[i]);
    }
}

// Nothing where the step is left out, else body(values) for all elements, the gradient times `factor`.
template <int ARRAYS, class Body>
__device__ __forceinline__ void update(Chunk chunk, const double* factor, Body follow) {
    if (factor && !(*factor < INFINITY)) return;  // a NaN is not less, either
    const Number scale = factor ? Number(*factor) : Number(1);
    auto body = [=](Number (&values)[ARRAYS]) {
        values[1] *= scale;
        follow(values);
    };
    long long done = 0;
    if (aligned<ARRAYS>(chunk)) {
        done = chunk.length / WIDTH * WIDTH;
        for (long long i = threadIdx.x * WIDTH; i < done; i += THREADS * WIDTH) {
            update_some<WIDTH, ARRAYS>(chunk, i, body);
        }
    }
    for (long long i = done + threadIdx.x; i < chunk.length; i += THREADS) update_some<1, ARRAYS>(chunk, i, body);
}

// Arrays: parameter, gradient, buffer. At a parameter's first step the buffer is the gradient.
extern "C" __global__ void __launch_bounds__(256, 3) sgd(
    const Chunk* __restrict__ table, const double* __restrict__ factor, const double* __restrict__ rate_place,
    double rate, long long steps, Number momentum, Number keep, Number of_gradient, Number of_buffer, Number decay,
    Number sign) {
    const Chunk chunk = table[blockIdx.x];
    const Number lr = rate_place ? *rate_place : rate;
    const bool first = (chunk.steps ? *chunk.steps : steps) == 1;
    const Number of_old = first ? Number(0) : momentum, of_new = first ? Number(1) : keep;
    update<3>(chunk, factor, [=](Number (&v)[3]) {
        const Number direction = sign * v[1] + decay * v[0];
        v[2] = of_old * v[2] + of_new * direction;
        v[0] -= lr * (of_gradient * direction + of_buffer * v[2]);
    });
}

// Arrays: parameter, gradient, first and second moment.
extern "C" __global__ void __launch_bounds__(256, 3) adam(
    const Chunk* __restrict__ table, const double* __restrict__ factor, const double* __restrict__ rate_place,
    double rate, long long steps, double beta1, double beta2, Number epsilon, Number decay, double shrinking,
    Number sign) {
    const Chunk chunk = table[blockIdx.x];
    __shared__ Number corrected[3];  // by one thread: powers in double precision are slow on many GPUs
    if (threadIdx.x == 0) {
        const double lr = rate_place ? *rate_place : rate;
        const double count = double(chunk.steps ? *chunk.steps : steps);
        corrected[0] = Number(lr / (1 - pow(beta1, count)));
        corrected[1] = Number(1 / sqrt(1 - pow(beta2, count)));
        corrected[2] = Number(1 - lr * shrinking);
    }
    __syncthreads();
    const Number lr = corrected[0], correction = corrected[1], shrink = corrected[2];
    const Number old1 = Number(beta1), new1 = Number(1 - beta1), old2 = Number(beta2), new2 = Number(1 - beta2);
    update<4>(chunk, factor, [=](Number (&v)[4]) {
        const Number direction = sign * v[1] + decay * v[0];
        v[2] = old1 * v[2] + new1 * direction;
        v[3] = old2 * v[3] + new2 * direction * direction;
        v[0] = shrink * v[0] - lr * v[2] / (square_root(v[3]) * correction + epsilon);
    });
}

// Arrays: parameter, gradient, square average, buffer, gradient average.
extern "C" __global__ void __launch_bounds__(256, 2) rmsprop(
    const Chunk* __restrict__ table, const double* __restrict__ factor, const double* __restrict__ rate_place,
    double rate, Number alpha, Number rest, Number epsilon, Number momentum, Number of_gradient, Number decay,
    Number sign) {
    const Number lr = rate_place ? *rate_place : rate;
    update<5>(table[blockIdx.x], factor, [=](Number (&v)[5]) {
        const Number direction = sign * v[1] + decay * v[0];
        v[2] = alpha * v[2] + rest * direction * direction;
        v[4] = alpha * v[4] + of_gradient * direction;
        v[3] = momentum * v[3] + direction / (square_root(v[2] - v[4] * v[4]) + epsilon);
        v[0] -= lr * v[3];
    });
}

// Arrays: average, newest value.
extern "C" __global__ void __launch_bounds__(256, 3) average(
    const Chunk* __restrict__ table, const double* __restrict__ share_place, double share) {
    const double given = share_place ? *share_place : share;
    if (!(given < INFINITY)) return;
    const Number part = Number(given);
    update<2>(table[blockIdx.x], nullptr, [=](Number (&v)[2]) { v[0] = part == 1 ? v[1] : v[0] + part * (v[1] - v[0]); });
}

// Whether a step is taken, and how far: see __init__.py. One block.
extern "C" __global__ void __launch_bounds__(256, 4) control(
    const double* __restrict__ squared_norm, const double* __restrict__ loss, double* state, long long* steps,
    const long long* __restrict__ moving, int count, double max_norm, double grows_after, double smallest,
    double largest, double newest) {
    __shared__ int taken;
    if (threadIdx.x == 0) {
        double scale = state[0], good = state[1], factor = not_a_number(), stopped = state[3];
        double seen = state[4], share = factor;
        const double norm = square_root(*squared_norm) / scale;
        taken = 0;
        if (stopped != 0 || !(*loss < INFINITY && *loss > -INFINITY)) {
            stopped = 1;
        } else if (!(norm < INFINITY)) {
            if (grows_after > 0 && scale > smallest) {
                scale /= 2;
                good = 0;
            } else {
                stopped = 1;
            }
        } else {
            const double clip = max_norm / (norm + 1e-6);
            factor = (clip < 1 ? clip : 1.0) / scale;
            taken = 1;
            good += 1;
            seen += 1;
            share = seen == 1 ? 1 : newest < 0 ? 1 / seen : newest;
            if (grows_after > 0 && good >= grows_after) {
                scale = 2 * scale < largest ? 2 * scale : largest;
                good = 0;
            }
        }
        state[0] = scale;
        state[1] = good;
        state[2] = factor;
        state[3] = stopped;
        state[4] = seen;
        state[5] = share;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < count; i += blockDim.x) steps[i] += taken ? moving[i] : 0;
}

// The sum of all threads' values, in thread 0.
__device__ __forceinline__ double sum_of_block(double value) {
    __shared__ double shared[THREADS];
    shared[threadIdx.x] = value;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    }
    return shared[0];
}

// partial[chunk] = the sum of the squares of array 0. A product of two floats is exact in a double.
extern "C" __global__ void __launch_bounds__(256, 4)
    squares(const Chunk* __restrict__ table, double* __restrict__ partial) {
    const Chunk chunk = table[blockIdx.x];
    const Real* array = array_of(chunk, 0);
    double sum = 0;
    long long done = 0;
    if (aligned<1>(chunk)) {
        done = chunk.length / WIDTH * WIDTH;
        for (long long i = threadIdx.x * WIDTH; i < done; i += THREADS * WIDTH) {
            const Vector<Real, WIDTH> elements = load<WIDTH>(array + i);
            for (int lane = 0; lane < WIDTH; ++lane) {
                const double value = widen(elements.lanes[lane]);
                sum += value * value;
            }
        }
    }
    for (long long i = done + threadIdx.x; i < chunk.length; i += THREADS) {
        const double value = widen(array[i]);
        sum += value * value;
    }
    sum = sum_of_block(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block adds up what the blocks of `squares` have left.
extern "C" __global__ void __launch_bounds__(256, 4)
    add_up(const double* __restrict__ partial, int count, double* __restrict__ total) {
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += THREADS) sum += partial[i];
    sum = sum_of_block(sum);
    if (threadIdx.x == 0) *total = sum;
}
