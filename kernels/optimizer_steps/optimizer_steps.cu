// One optimiser step over all parameters in one launch: a block takes one chunk of one parameter.
//
// A table in memory says where each chunk's arrays lie, so that a network's many small parameters cost one launch and
// its few large ones fill the GPU. Each element is read and written once, 16 bytes a thread where all of a chunk's
// arrays are aligned. Elements know nothing of one another; only the squared norm sums them, in an order that depends
// on the chunks alone. A step that is given the squared norm of its gradients changes nothing where that is not
// finite: the decision is made on the GPU, and no one waits for it.
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
    long long length;
};

__device__ __forceinline__ Real* array_of(const Chunk& chunk, int i) {
    return reinterpret_cast<Real*>(chunk.arrays[i]);
}
__device__ __forceinline__ float square_root(float x) { return sqrtf(x); }
__device__ __forceinline__ double square_root(double x) { return sqrt(x); }

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

template <int ARRAYS, class Body>
__device__ __forceinline__ void update(Chunk chunk, const double* squared_norm, Body body) {
    if (squared_norm && !(*squared_norm < INFINITY)) return;  // a NaN is not less, either
    long long done = 0;
    if (aligned<ARRAYS>(chunk)) {
        done = chunk.length / WIDTH * WIDTH;
        for (long long i = threadIdx.x * WIDTH; i < done; i += THREADS * WIDTH) {
            update_some<WIDTH, ARRAYS>(chunk, i, body);
        }
    }
    for (long long i = done + threadIdx.x; i < chunk.length; i += THREADS) update_some<1, ARRAYS>(chunk, i, body);
}

// Arrays: parameter, gradient, buffer. At a parameter's first step momentum is 0 and keep 1.
extern "C" __global__ void __launch_bounds__(256, 3) sgd(
    const Chunk* __restrict__ table, const double* __restrict__ squared_norm, Number lr, Number momentum, Number keep,
    Number of_gradient, Number of_buffer, Number decay, Number sign) {
    update<3>(table[blockIdx.x], squared_norm, [=](Number (&v)[3]) {
        const Number direction = sign * v[1] + decay * v[0];
        v[2] = momentum * v[2] + keep * direction;
        v[0] -= lr * (of_gradient * direction + of_buffer * v[2]);
    });
}

// Arrays: parameter, gradient, first and second moment. `lr` and `correction` carry the corrections for the start.
extern "C" __global__ void __launch_bounds__(256, 3) adam(
    const Chunk* __restrict__ table, const double* __restrict__ squared_norm, Number lr, Number correction,
    Number beta1, Number rest1, Number beta2, Number rest2, Number epsilon, Number decay, Number shrink, Number sign) {
    update<4>(table[blockIdx.x], squared_norm, [=](Number (&v)[4]) {
        const Number direction = sign * v[1] + decay * v[0];
        v[2] = beta1 * v[2] + rest1 * direction;
        v[3] = beta2 * v[3] + rest2 * direction * direction;
        v[0] = shrink * v[0] - lr * v[2] / (square_root(v[3]) * correction + epsilon);
    });
}

// Arrays: parameter, gradient, square average, buffer, gradient average.
extern "C" __global__ void __launch_bounds__(256, 2) rmsprop(
    const Chunk* __restrict__ table, const double* __restrict__ squared_norm, Number lr, Number alpha, Number rest,
    Number epsilon, Number momentum, Number of_gradient, Number decay, Number sign) {
    update<5>(table[blockIdx.x], squared_norm, [=](Number (&v)[5]) {
        const Number direction = sign * v[1] + decay * v[0];
        v[2] = alpha * v[2] + rest * direction * direction;
        v[4] = alpha * v[4] + of_gradient * direction;
        v[3] = momentum * v[3] + direction / (square_root(v[2] - v[4] * v[4]) + epsilon);
        v[0] -= lr * v[3];
    });
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
