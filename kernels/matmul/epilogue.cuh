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

    template <int RUN>
    __device__ __forceinline__ void operator()(int row, int column, const Sum (&values)[RUN]) const {
        constexpr int MOST = 16 / sizeof(Result);
        constexpr int WIDTH = RUN < MOST ? RUN : MOST;
        if (row >= rows) return;
        Result* const start = data + row * distance + column;
#pragma unroll
        for (int i = 0; i < RUN; i += WIDTH) {
            Vector<Result, WIDTH> results;
#pragma unroll
            for (int lane = 0; lane < WIDTH; ++lane) {
                Sum value = values[i + lane];
                if (bias != nullptr && column + i + lane < columns) value += widen(bias[column + i + lane]);
                if (relu && value < 0) value = 0;  // NaN stays
                results.lanes[lane] = narrow<Result>(value);
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
