// One kernel for each thing that the emulator must do as a GPU does; TYPE is half or bfloat16.
#include "cuda/ptx.cuh"

extern "C" __global__ void widen_all(const TYPE* x, float* y) { y[blockIdx.x * 256 + threadIdx.x] = widen(x[blockIdx.x * 256 + threadIdx.x]); }

extern "C" __global__ void narrow_all(const float* x, TYPE* y, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y[i] = narrow<TYPE>(x[i]);
}

// c (16, 8) = a (16, 16) @ b (16, 8) by one warp; a and b come through shared memory and ldmatrix.
extern "C" __global__ void multiply_16_bits(const TYPE* a, const TYPE* b, float* c) {
    __shared__ __align__(16) TYPE a_tile[16][16], b_tile[16][8];
    const int lane = threadIdx.x;
    for (int i = lane; i < 256; i += 32) a_tile[i / 16][i % 16] = a[i];
    for (int i = lane; i < 128; i += 32) b_tile[i / 8][i % 8] = b[i];
    __syncthreads();
    unsigned a_fragment[4], b_fragments[4];
    // Matrices 0 to 3 of a: its upper left, lower left, upper right and lower right quarter.
    ldmatrix_x4(a_fragment, &a_tile[lane % 16][lane / 16 * 8]);
    // b lies by rows of k, and the fragment wants columns of n. Matrices 2 and 3 are 0 and 1 again.
    ldmatrix_x4_transposed(b_fragments, &b_tile[lane % 16][0]);
    const unsigned b_fragment[2] = {b_fragments[0], b_fragments[1]};
    float sums[4] = {1, 1, 1, 1};
    mma(TYPE(), sums, a_fragment, b_fragment);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
}

// c (16, 8) = a (16, 8) @ b (8, 8), rounded to tf32.
extern "C" __global__ void multiply_tf32(const float* a, const float* b, float* c) {
    const int g = threadIdx.x / 4, t = threadIdx.x % 4;
    unsigned a_fragment[4], b_fragment[2];
    for (int i = 0; i < 4; ++i) a_fragment[i] = to_tf32(a[(g + i % 2 * 8) * 8 + t + i / 2 * 4]);
    for (int i = 0; i < 2; ++i) b_fragment[i] = to_tf32(b[(t + i * 4) * 8 + g]);
    float sums[4] = {};
    mma(tf32(), sums, a_fragment, b_fragment);
    for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
}

// Eight results a thread: four shuffles, a ballot, any, all and a count over the block.
extern "C" __global__ void shuffle_and_vote(int* y) {
    const unsigned all = 0xffffffffu;
    const int i = threadIdx.x;
    int* row = y + 8 * i;
    row[0] = __shfl_sync(all, i, 3, 8);
    row[1] = __shfl_down_sync(all, i, 5);
    row[2] = __shfl_up_sync(all, i, 5, 16);
    row[3] = __shfl_xor_sync(all, i, 7);
    row[4] = int(__ballot_sync(all, i % 3 == 0));
    row[5] = __any_sync(all, i == 40);
    row[6] = __all_sync(all, i < 40);
    row[7] = __syncthreads_count(i % 5 == 0);
}

// The halves of a warp meet apart from each other, a different number of times.
extern "C" __global__ void half_warps(int* y) {
    const int i = threadIdx.x;
    const unsigned mask = i % 32 < 16 ? 0x0000ffffu : 0xffff0000u;
    int sum = i;
    for (int round = 0; round < (i % 32 < 16 ? 1 : 3); ++round) sum += __shfl_xor_sync(mask, sum, 1 << round);
    __syncwarp();
    y[i] = sum;
}

extern "C" __global__ void count(int* counter, float* sum, int* largest) {
    atomicAdd(counter, 1);
    atomicAdd(sum, 0.5f);
    atomicMax(largest, int(blockIdx.x * blockDim.x + threadIdx.x));
}

// A pipeline of three stages: two groups of copies are always under way.
extern "C" __global__ void pipeline(const float* x, float* y, int rows, int valid_rows) {
    __shared__ __align__(16) float stages[3][128];
    const int i = threadIdx.x;
    for (int row = 0; row < 2; ++row) {
        cp_async<16>(&stages[row][4 * i], x + row * 128 + 4 * i, row < valid_rows);
        cp_async_commit();
    }
    for (int row = 0; row < rows; ++row) {
        cp_async_wait<1>();
        __syncthreads();
        if (row + 2 < rows) cp_async<16>(&stages[(row + 2) % 3][4 * i], x + (row + 2) * 128 + 4 * i, row + 2 < valid_rows);
        cp_async_commit();
        for (int k = 0; k < 4; ++k) y[row * 128 + 32 * k + i] = stages[row % 3][127 - (32 * k + i)];
    }
}

// Warp operations change the order in which threads come to a barrier, so that the last one there may go on first.
extern "C" __global__ void take_turns(int* y) {
    __shared__ int values[64];
    const int i = threadIdx.x;
    int value = i;
    for (int round = 0; round < 8; ++round) {
        for (int step = 0; step <= round % 3; ++step) value = __shfl_xor_sync(0xffffffffu, value, 1 << step);
        values[i] = value;
        __syncthreads();
        value = values[63 - i] + 1;
        __syncthreads();
    }
    y[blockIdx.x * 64 + i] = value;
}

struct Numbers {
    int first;
    int rest[2];
};

extern "C" __global__ void take_values(Numbers numbers, double real, long long large, const float* nothing, double* y) {
    y[0] = numbers.first * 100 + numbers.rest[0] * 10 + numbers.rest[1];
    y[1] = real;
    y[2] = double(large);
    y[3] = nothing == nullptr;
}

extern "C" __global__ void indices(int* y) {
    const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    y[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}
