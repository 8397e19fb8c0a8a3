// The product of two tiles by mma.sync: a warp keeps M x 32 sums in the registers of its lanes.
//
// One instruction multiplies 16 x K by K x 8, K being 32 bytes of depth. ldmatrix hands each lane its part of four
// matrices of eight rows of 16 bytes; that a row is eight elements of 16 bits or four of tf32 makes no difference as long
// as it lies along the depth. Across the depth, 16 bits are transposed on the way; for 32 bits there is no such
// instruction, and the lanes read one element each.
#pragma once

#include "matmul/tiles.cuh"

#if TENSOR_CORE
template <class T>
struct ElementOf {
    using type = T;
};
template <>
struct ElementOf<float> {
    using type = tf32;
};
using Element = ElementOf<Real>::type;

template <bool LEFT_ALONG, bool RIGHT_ALONG>
struct TensorCores {
    static constexpr int M = TILE_M == 128 ? 64 : 32, N = 32;  // of a warp
    static constexpr int WARPS_ACROSS = TILE_N / N;
    static constexpr bool TF32 = sizeof(Real) == 4;
    static_assert(TILE_M / M * WARPS_ACROSS * 32 == THREADS, "one share a warp");
    using Left = Tile<LEFT_ALONG, TILE_M>;
    using Right = Tile<RIGHT_ALONG, TILE_N>;

    // Which column of the product the matrix instructions' columns are is free where ldmatrix takes a row for each. They
    // are dealt out so that the 4 x 2 columns of a lane are neighbours, and leave in 16 bytes or more.
    static constexpr int RUN = RIGHT_ALONG ? 8 : 2;
    static constexpr int COLUMNS = 8;                        // of a lane
    static constexpr int ROW_THREADS = TILE_M / M * 8;       // lanes that have the same columns

    float sums[M / 16][4][4] = {};

    __device__ __forceinline__ static int lane() { return threadIdx.x % 32; }
    __device__ __forceinline__ static int first_row() { return threadIdx.x / 32 / WARPS_ACROSS * M; }
    __device__ __forceinline__ static int first_column() { return threadIdx.x / 32 % WARPS_ACROSS * N; }

    // Rows `row` to `row + 15` of the left factor.
    __device__ __forceinline__ static void read_left(const Piece* tile, int row, int step, unsigned (&a)[4]) {
        const int r = lane() % 8, matrix = lane() / 8;
        if constexpr (LEFT_ALONG) {
            ldmatrix_x4(a, &tile[place<Left::PIECES>(row + matrix % 2 * 8 + r, step * 2 + matrix / 2)]);
        } else if constexpr (!TF32) {
            const int depth = step * 16 + matrix / 2 * 8 + r;
            ldmatrix_x4_transposed(a, &tile[place<Left::PIECES>(depth, row / LANES + matrix % 2)]);
        } else {
#pragma unroll
            for (int i = 0; i < 4; ++i) a[i] = element<Left>(tile, step * 8 + i / 2 * 4, row + i % 2 * 8);
        }
        round(a);
    }

    // Columns of the instructions 2 * pair and 2 * pair + 1 of the four that a warp makes side by side.
    __device__ __forceinline__ static void read_right(const Piece* tile, int pair, int step, unsigned (&b)[4]) {
        const int r = lane() % 8, matrix = lane() / 8;
        const int instruction = pair * 2 + matrix / 2;
        if constexpr (RIGHT_ALONG) {
            const int column = first_column() + r / 2 * 8 + instruction * 2 + r % 2;
            ldmatrix_x4(b, &tile[place<Right::PIECES>(column, step * 2 + matrix % 2)]);
        } else if constexpr (!TF32) {
            const int depth = step * 16 + matrix % 2 * 8 + r;
            ldmatrix_x4_transposed(b, &tile[place<Right::PIECES>(depth, first_column() / LANES + instruction)]);
        } else {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                b[i] = element<Right>(tile, step * 8 + i % 2 * 4, first_column() + (pair * 2 + i / 2) * 8);
            }
        }
        round(b);
    }

    // This lane's element of the 4 x 8 elements from `depth` and `column` on, of a tile that lies across the depth.
    template <class Shape>
    __device__ __forceinline__ static unsigned element(const Piece* tile, int depth, int column) {
        const int own = column + lane() / 4;
        return __float_as_uint(tile[place<Shape::PIECES>(depth + lane() % 4, own / LANES)].lanes[own % LANES]);
    }

    __device__ __forceinline__ static void round(unsigned (&registers)[4]) {
        if constexpr (TF32) {
#pragma unroll
            for (int i = 0; i < 4; ++i) registers[i] = to_tf32(__uint_as_float(registers[i]));
        }
    }

    __device__ __forceinline__ void multiply(const Piece* left, const Piece* right) {
#pragma unroll (TF32 ? 1 : 2)  // single elements have an address each, too many for two steps at once
        for (int step = 0; step < 2; ++step) {
            unsigned a[M / 16][4], b[2][4];
#pragma unroll
            for (int i = 0; i < M / 16; ++i) read_left(left, first_row() + i * 16, step, a[i]);
#pragma unroll
            for (int pair = 0; pair < 2; ++pair) read_right(right, pair, step, b[pair]);
#pragma unroll
            for (int i = 0; i < M / 16; ++i) {
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    const unsigned of_column[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
                    mma(Element(), sums[i][j], a[i], of_column);
                }
            }
        }
    }

    __device__ __forceinline__ static int row_thread() { return threadIdx.x / 32 / WARPS_ACROSS * 8 + lane() / 4; }

    // Where a lane's columns stand in the block's tile.
    __device__ __forceinline__ static int column_of(int own) {
        return first_column() + own / RUN * 8 + lane() % 4 * RUN + own % RUN;
    }

    // Calls body(row, column, own, values) for each run of sums. Row and column count from the corner of the block's tile;
    // `own` is the number of the run's first column among the thread's.
    template <class Body>
    __device__ __forceinline__ void for_each_run(Body body) const {
#pragma unroll
        for (int i = 0; i < M / 16; ++i) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int row = first_row() + i * 16 + half * 8 + lane() / 4;
#pragma unroll
                for (int first = 0; first < 4; first += RUN / 2) {
                    float values[RUN];
#pragma unroll
                    for (int e = 0; e < RUN; ++e) values[e] = sums[i][first + e / 2][half * 2 + e % 2];
                    body(row, column_of(first * 2), first * 2, values);
                }
            }
        }
    }
};
#endif
