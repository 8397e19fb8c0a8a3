// Products of matrices on CUDA.
//
// The versions, from naive to fast, and what each is meant to gain (unmeasured: they have not run on a GPU yet):
// - direct.cu: one thread an element, any strides; two reads from memory for each product;
// - TENSOR_CORE=0: tiles in shared memory and registers (gemm.cuh); a number from memory is used TILE_M or TILE_N
//   times, one from shared memory 4 or 8 times;
// - TENSOR_CORE=1: the same tiles, multiplied by the tensor cores.
//
// A factor lies along the depth, so that 16 bytes of it are elements to be summed over, or across it; a transposed
// matrix is the other case. The one combination that is missing is made of another by a copy.
//
// Definitions: those of tiles.cuh.
#include "matmul/epilogue.cuh"
#include "matmul/gemm.cuh"

// A factor or the product: one of a stack of matrices, whose rows are so many elements apart.
struct Matrices {
    long long distance, stack;
};

template <bool LEFT_ALONG, bool RIGHT_ALONG>
__device__ __forceinline__ void multiply_stack(const Real* left, Matrices lefts, const Real* right, Matrices rights, Real* y,
                                               Matrices products, int rows, int columns, int depth, int vectors) {
    const int tiles = divide_up(columns, TILE_N);
    const Rows a = {left + blockIdx.z * lefts.stack, lefts.distance, LEFT_ALONG ? rows : depth, LEFT_ALONG ? depth : rows};
    const Rows b = {right + blockIdx.z * rights.stack, rights.distance, RIGHT_ALONG ? columns : depth,
                    RIGHT_ALONG ? depth : columns};
    const Store<Real> store = {y + blockIdx.z * products.stack, products.distance, rows, columns, vectors != 0, nullptr,
                               false};
    multiply<LEFT_ALONG, RIGHT_ALONG>(a, b, int(blockIdx.x / tiles) * TILE_M, int(blockIdx.x % tiles) * TILE_N, 0, depth,
                                      store);
}

#define MATMUL_PARAMETERS                                                                                        \
    const Real *__restrict__ left, Matrices lefts, const Real *__restrict__ right, Matrices rights, Real *__restrict__ y, \
        Matrices products, int rows, int columns, int depth, int vectors
#define MATMUL_ARGUMENTS left, lefts, right, rights, y, products, rows, columns, depth, vectors

// Blocks: tiles, columns first; 1; matrices of the stack. The names say how left and right lie.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) along_along(MATMUL_PARAMETERS) {
    multiply_stack<true, true>(MATMUL_ARGUMENTS);
}
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) along_across(MATMUL_PARAMETERS) {
    multiply_stack<true, false>(MATMUL_ARGUMENTS);
}
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) across_across(MATMUL_PARAMETERS) {
    multiply_stack<false, false>(MATMUL_ARGUMENTS);
}
