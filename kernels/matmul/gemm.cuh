// The one product that convolutions and matrix products share: a block's tile of left (M, depth) @ right (depth, N).
//
//     loaders (operands.cuh)  ->  tiles in shared memory (tiles.cuh)  ->  a core's registers  ->  an epilogue
//
// While a slice is multiplied, the next ones are on their way: cp.async copies past the registers into a ring of STAGES
// tiles, and one barrier a slice is all that the threads of the block need.
#pragma once

#include "matmul/fused_multiply_add.cuh"
#include "matmul/operands.cuh"
#include "matmul/tensor_cores.cuh"

#if TENSOR_CORE
template <bool LEFT_ALONG, bool RIGHT_ALONG>
using Core = TensorCores<LEFT_ALONG, RIGHT_ALONG>;
#else
template <bool LEFT_ALONG, bool RIGHT_ALONG>
using Core = FusedMultiplyAdd<LEFT_ALONG, RIGHT_ALONG>;
#endif

// Sums over the depth from `depth` to before `stop`, for the tile at (row, column), and hands them to `epilogue`.
template <bool LEFT_ALONG, bool RIGHT_ALONG, class Left, class Right, class Epilogue>
__device__ __forceinline__ void multiply(const Left& left, const Right& right, int row, int column, int depth, int stop,
                                         const Epilogue& epilogue) {
    dynamic_shared(Piece, shared);
    constexpr int LEFT_SIZE = Tile<LEFT_ALONG, TILE_M>::SIZE;
    constexpr int STAGE = LEFT_SIZE + Tile<RIGHT_ALONG, TILE_N>::SIZE;
    const Loader<Left, LEFT_ALONG, TILE_M> left_loader(left, row, stop);
    const Loader<Right, RIGHT_ALONG, TILE_N> right_loader(right, column, stop);
    const int slices = divide_up(stop - depth, DEPTH);

    auto fetch = [&](int slice) {
        if (slice < slices) {
            Piece* stage = shared + slice % STAGES * STAGE;
            left_loader.fetch(stage, depth + slice * DEPTH);
            right_loader.fetch(stage + LEFT_SIZE, depth + slice * DEPTH);
        }
        cp_async_commit();  // a group for each slice, be it empty, so that counting groups counts slices
    };

    Core<LEFT_ALONG, RIGHT_ALONG> core;
    for (int slice = 0; slice < STAGES - 1; ++slice) fetch(slice);
    for (int slice = 0; slice < slices; ++slice) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();  // all copies of this slice are there, and nobody reads the one before any more
        fetch(slice + STAGES - 1);
        const Piece* stage = shared + slice % STAGES * STAGE;
        core.multiply(stage, stage + LEFT_SIZE);
    }
    epilogue.take(core, shared, row, column);
}
