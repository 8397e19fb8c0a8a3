// One mistake a kernel, each of them one that the emulator must find; `BUG` is 1 with the mistake and 0 without.
#include "cuda/ptx.cuh"

constexpr int THREADS = 64;

// Each thread reads what its neighbour has put into shared memory.
extern "C" __global__ void missing_barrier(const float* x, float* y) {
    __shared__ float tile[THREADS];
    tile[threadIdx.x] = x[blockIdx.x * THREADS + threadIdx.x];
    if (!BUG) __syncthreads();
    y[blockIdx.x * THREADS + threadIdx.x] = tile[(threadIdx.x + 1) % THREADS];
}

// The tile is filled again while others may still read it.
extern "C" __global__ void missing_second_barrier(const float* x, float* y) {
    __shared__ float tile[THREADS];
    for (int i = 0; i < 2; ++i) {
        tile[threadIdx.x] = x[i * THREADS + threadIdx.x];
        __syncthreads();
        y[i * THREADS + threadIdx.x] = tile[(threadIdx.x + 1) % THREADS];
        if (!BUG) __syncthreads();
    }
}

extern "C" __global__ void write_behind(const float* x, float* y) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    y[i + (BUG && i == 70 ? 60 : 0)] = x[i];
    if (BUG && i == 70) y[i] = x[i];
}

extern "C" __global__ void write_before(const float* x, float* y) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (BUG && i == 3) y[-2] = 0;
    y[i] = x[i];
}

extern "C" __global__ void write_far_away(const float* x, float* y) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    y[BUG && i == 5 ? 1ll << 40 : i] = x[i];
}

extern "C" __global__ void unwritten_output(const float* x, float* y) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (!BUG || i != 77) y[i] = x[i];
}

extern "C" __global__ void unset_shared_memory(const float* x, float* y) {
    __shared__ float tile[THREADS + 1];
    tile[threadIdx.x] = x[blockIdx.x * THREADS + threadIdx.x];
    __syncthreads();
    y[blockIdx.x * THREADS + threadIdx.x] = tile[threadIdx.x + BUG] + 1;
}

extern "C" __global__ void write_behind_shared(const float* x, float* y) {
    dynamic_shared(float, tile);
    const int i = blockIdx.x * THREADS + threadIdx.x;
    tile[threadIdx.x + (BUG && threadIdx.x == 9 ? THREADS : 0)] = x[i];
    y[i] = x[i];
}

extern "C" __global__ void index_outside_of_shared(const float* x, float* y) {
    __shared__ float tile[THREADS];
    tile[threadIdx.x + (BUG && threadIdx.x == 60 ? 4 : 0)] = x[threadIdx.x];
    y[blockIdx.x * THREADS + threadIdx.x] = x[threadIdx.x];
}

extern "C" __global__ void barrier_not_for_all(const float* x, float* y) {
    y[blockIdx.x * THREADS + threadIdx.x] = x[blockIdx.x * THREADS + threadIdx.x];
    if (BUG && threadIdx.x == 7) return;
    __syncthreads();
}

extern "C" __global__ void two_barriers(const float* x, float* y) {
    y[blockIdx.x * THREADS + threadIdx.x] = x[blockIdx.x * THREADS + threadIdx.x];
    if (BUG && threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();  // another one than that above
    }
}

extern "C" __global__ void shuffle_without_a_lane(const float* x, float* y) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    float value = x[i];
    if (!BUG || threadIdx.x % 32 != 4) value = __shfl_xor_sync(0xffffffffu, value, 1);
    y[i] = value;
}

extern "C" __global__ void misaligned_vector(const float* x, float* y) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (threadIdx.x < THREADS / 4) {
        const float4 four = *reinterpret_cast<const float4*>(x + blockIdx.x * THREADS + BUG);
        y[i] = four.x;
    } else {
        y[i] = x[i];
    }
}

extern "C" __global__ void missing_copy_wait(const float* x, float* y) {
    __shared__ __align__(16) float tile[THREADS];
    if (threadIdx.x < THREADS / 4) {
        cp_async<16>(&tile[4 * threadIdx.x], x + blockIdx.x * THREADS + 4 * threadIdx.x);
    }
    cp_async_commit();
    if (!BUG) cp_async_wait<0>();
    __syncthreads();
    y[blockIdx.x * THREADS + threadIdx.x] = tile[threadIdx.x];
}
