// The measures of a block's work, and tiles of matrices in shared memory.
//
// A block computes TILE_M x TILE_N elements of the product. It walks along the depth, the axis that is summed over, in
// slices: 64 bytes of each row of a matrix whose rows lie along the depth. A slice of each factor is a tile in
// shared memory, made of pieces of 16 bytes, which is what one thread moves at once.
//
// Definitions: REAL, the element type in memory; TILE_M and TILE_N; TENSOR_CORE, 1 for mma.sync (with REAL=float in tf32)
// and 0 for fused multiply-adds; VECTOR, elements that may be fetched at once: as many as a piece has, or 1.
#pragma once

#include "cuda/ptx.cuh"
#include "cuda/types.cuh"

using Real = REAL;
using Sum = Wide<Real>;

constexpr int LANES = 16 / sizeof(Real);  // elements of a piece
constexpr int DEPTH = 4 * LANES;          // elements of a slice along the depth
constexpr int STAGES = TENSOR_CORE ? 4 : 3;  // slices in shared memory: one being used, the others on their way
constexpr int THREADS = TILE_N * 2;  // 64 sums a thread, or 32 where TILE_M is 64

// Blocks at a time that a multiprocessor shall have room for: a thread then has up to 128 registers in the largest
// blocks and 168 in the others.
constexpr int BLOCKS = THREADS == 256 ? 2 : 384 / THREADS;

using Piece = Vector<Real, LANES>;

__device__ __forceinline__ int divide_up(int a, int b) { return (a + b - 1) / b; }

// The place of a piece in a tile whose rows have PIECES of them.
//
// Shared memory serves 128 bytes at a time, from 32 banks of 4: eight pieces, if no two lie at the same distance from a
// multiple of 128. So pieces are exchanged within their 128 bytes, by the number of the row. Then eight neighbouring rows
// can be read at one column of pieces without a conflict. With rows of four pieces, TensorCores also reads eight that
// are no neighbours (8i + 2j and 8i + 2j + 1, i = 0..3); FusedMultiplyAdd reads rows 8 apart one after the other, and
// needs one register less for each where these are exchanged alike.
template <int PIECES>
__device__ __forceinline__ int place(int row, int piece) {
    if constexpr (PIECES == 4) {  // two rows in 128 bytes
        const int line = row / 2;
        return line * 8 + ((row % 2 * 4 + piece) ^ (TENSOR_CORE ? (line ^ line >> 2) & 7 : line & 3));
    } else {
        static_assert(PIECES % 8 == 0, "whole lines of 128 bytes");
        return row * PIECES + (piece ^ ((row & 3) << 1 | (row >> 2 & 1)));
    }
}

// One factor of the product. ALONG_DEPTH: its rows in memory lie along the depth, a tile has a row for each of SPAN
// rows or columns of the product; otherwise a tile has DEPTH rows, of SPAN elements each.
template <bool ALONG_DEPTH, int SPAN>
struct Tile {
    static constexpr int ROWS = ALONG_DEPTH ? SPAN : DEPTH;
    static constexpr int PIECES = (ALONG_DEPTH ? DEPTH : SPAN) / LANES;
    static constexpr int SIZE = ROWS * PIECES;
};
