// Kernels of which every load, store, barrier, atomic and copy can be counted by hand.
#include "cuda/ptx.cuh"

__constant__ float TABLE[4] = {1, 2, 3, 4};

// A load, used three times, and a store; every fourth block leaves at once.
extern "C" __global__ void polynomial(const float* __restrict__ x, float* __restrict__ y) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (blockIdx.x % 4 == 3) {
        y[i] = 0;
        return;
    }
    y[i] = x[i] * x[i] + x[i];
}

// `taps` loads of x a thread, each time to a thread's own array; the table's loads do not count.
extern "C" __global__ void own_array(const float* x, float* y, int taps) {
    float own[8];
    for (int t = 0; t < taps; ++t) own[t] = x[threadIdx.x + t] * TABLE[t % 4];
    float sum = 0;
    for (int t = 0; t < taps; ++t) sum += own[t];
    y[threadIdx.x] = sum;
}

// Vectors of four, in and out.
extern "C" __global__ void copy_vectors(const float* x, float* y) {
    store(y + 4 * threadIdx.x, load<4>(x + 4 * threadIdx.x));
}

// A value a thread into shared memory, static and dynamic, and back from another place; two barriers.
extern "C" __global__ void turn_around(const double* x, double* y) {
    __shared__ double tile[64];
    dynamic_shared(double, other);
    const int i = threadIdx.x, back = 63 - i;
    tile[i] = x[i];
    __syncthreads();
    other[back] = tile[back];
    __syncthreads();
    y[i] = other[i];
}

// One atomic a thread, and a compare-and-swap by the first.
extern "C" __global__ void atomics(const int* x, int* total) {
    atomicAdd(total, x[threadIdx.x]);
    if (threadIdx.x == 0) atomicCAS(total + 1, 0, 7);
}

// 16 bytes a thread by cp.async, zeros for those behind the end.
extern "C" __global__ void copy_later(const float* x, float* y, int count) {
    __shared__ __align__(16) float tile[32 * 4];
    const int i = 4 * threadIdx.x;
    cp_async<16>(tile + i, x + i, i < count);
    cp_async_commit();
    cp_async_wait<0>();
    store(y + i, load<4>(tile + i));
}
