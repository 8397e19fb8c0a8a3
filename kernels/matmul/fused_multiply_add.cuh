// The product of two tiles by fused multiply-adds: a thread keeps M x N sums in registers.
//
// For every STEP of depth it reads (M + N) * STEP elements from shared memory and makes M * N * STEP multiply-adds of them.
// Half a piece at a time: whole ones would need more registers than leave room for a second block.
#pragma once

#include "matmul/tiles.cuh"

constexpr int STEP = LANES / 2;

// A thread's share of a tile: COUNT of its SPAN rows or columns, of which neighbouring threads have neighbours.
template <bool ALONG_DEPTH, int SPAN, int COUNT>
struct Share {
    static constexpr int THREADS_ACROSS = SPAN / COUNT;
    static constexpr int RUN = ALONG_DEPTH ? 1 : LANES;  // how many of them are neighbours

    __device__ __forceinline__ static int number(int thread, int i) {
        return (i / RUN * THREADS_ACROSS + thread) * RUN + i % RUN;
    }

    // Elements values[k][i], k counting the depth from `depth` on.
    __device__ __forceinline__ static void read(const Piece* tile, int thread, int depth, Sum (&values)[STEP][COUNT]) {
        using Shape = Tile<ALONG_DEPTH, SPAN>;
        if constexpr (ALONG_DEPTH) {
#pragma unroll
            for (int i = 0; i < COUNT; ++i) {
                const Piece& piece = tile[place<Shape::PIECES>(number(thread, i), depth / LANES)];
                const auto half = load<STEP>(&piece.lanes[depth % LANES]);
#pragma unroll
                for (int k = 0; k < STEP; ++k) values[k][i] = widen(half.lanes[k]);
            }
        } else {
#pragma unroll
            for (int k = 0; k < STEP; ++k) {
#pragma unroll
                for (int i = 0; i < COUNT; i += LANES) {
                    const Piece piece = tile[place<Shape::PIECES>(depth + k, number(thread, i) / LANES)];
#pragma unroll
                    for (int lane = 0; lane < LANES; ++lane) values[k][i + lane] = widen(piece.lanes[lane]);
                }
            }
        }
    }
};

template <bool LEFT_ALONG, bool RIGHT_ALONG>
struct FusedMultiplyAdd {
    static constexpr int M = 8, N = TILE_M == 128 ? 8 : 4;
    using Left = Share<LEFT_ALONG, TILE_M, M>;
    using Right = Share<RIGHT_ALONG, TILE_N, N>;
    static_assert(Left::THREADS_ACROSS * Right::THREADS_ACROSS == THREADS, "one share a thread");
    static constexpr int RUN = Right::RUN;                        // adjacent columns that a thread has
    static constexpr int COLUMNS = N;                             // all columns that it has
    static constexpr int ROW_THREADS = Left::THREADS_ACROSS;      // threads that have the same columns

    Sum sums[N][M] = {};

    // A warp has 8 threads across and 4 down, so that what its threads read is read once for several of them.
    __device__ __forceinline__ static int across() {
        return threadIdx.x / 32 * 8 % Right::THREADS_ACROSS + threadIdx.x % 8;
    }
    __device__ __forceinline__ static int down() {
        return threadIdx.x / 32 * 8 / Right::THREADS_ACROSS * 4 + threadIdx.x % 32 / 8;
    }

    __device__ __forceinline__ void multiply(const Piece* left, const Piece* right) {
#pragma unroll 1  // the addresses of all steps at once would fill the registers
        for (int depth = 0; depth < DEPTH; depth += STEP) {
            Sum a[STEP][M], b[STEP][N];
            Left::read(left, down(), depth, a);
            Right::read(right, across(), depth, b);
#pragma unroll
            for (int k = 0; k < STEP; ++k) {
#pragma unroll
                for (int j = 0; j < N; ++j) {
#pragma unroll
                    for (int i = 0; i < M; ++i) sums[j][i] += a[k][i] * b[k][j];
                }
            }
        }
    }

    __device__ __forceinline__ static int row_thread() { return down(); }

    // Where a thread's columns stand in the block's tile.
    __device__ __forceinline__ static int column_of(int own) { return Right::number(across(), own); }

    // Calls body(row, column, own, values) for each run of sums. Row and column count from the corner of the block's tile;
    // `own` is the number of the run's first column among the thread's.
    template <class Body>
    __device__ __forceinline__ void for_each_run(Body body) const {
#pragma unroll
        for (int i = 0; i < M; ++i) {
#pragma unroll
            for (int j = 0; j < N; j += RUN) {
                Sum values[RUN];
#pragma unroll
                for (int lane = 0; lane < RUN; ++lane) values[lane] = sums[j + lane][i];
                body(Left::number(down(), i), column_of(j), j, values);
            }
        }
    }
};
