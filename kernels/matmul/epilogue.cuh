// What becomes of a block's sums: bias, ReLU, and the way to memory.
#pragma once

#include "matmul/tiles.cuh"

// Writes to rows of a matrix of `Result`, the float sums of a split product or the results themselves.
template <class Result>
struct Store {
    Result* data;
    long long distance;  // from one row to the next
    int rows, columns;
    bool vectors;  // every row begins at a multiple of 16 bytes
    const Real* bias;  // one for each column, or null
    bool relu;

    __device__ __forceinline__ Result result(Sum value, int column) const {
        if (bias != nullptr && column < columns) value += widen(bias[column]);
        if (relu && value < 0) value = 0;  // NaN stays
        return narrow<Result>(value);
    }

    // Takes the sums of the tile at (row, column).
    template <class Core>
    __device__ __forceinline__ void take(const Core& core, Piece*, int row, int column) const {
        core.for_each_run([&](int r, int c, int, const auto& values) { write(row + r, column + c, values); });
    }

    template <int RUN>
    __device__ __forceinline__ void write(int row, int column, const Sum (&values)[RUN]) const {
        constexpr int MOST = 16 / sizeof(Result);
        constexpr int WIDTH = RUN < MOST ? RUN : MOST;
        if (row >= rows) return;
        Result* const start = data + row * distance + column;
#pragma unroll
        for (int i = 0; i < RUN; i += WIDTH) {
            Vector<Result, WIDTH> results;
#pragma unroll
            for (int lane = 0; lane < WIDTH; ++lane) {
                results.lanes[lane] = result(values[i + lane], column + i + lane);
            }
            if (vectors && column + i + WIDTH <= columns) {
                store(start + i, results);
            } else {
#pragma unroll
                for (int lane = 0; lane < WIDTH; ++lane) {
                    if (column + i + lane < columns) start[i + lane] = results.lanes[lane];
                }
            }
        }
    }
};
