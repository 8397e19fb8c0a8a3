// The factors of a product as they lie in global memory, and how a thread fetches its share of a slice.
//
// A factor is a matrix whose rows lie in one stretch of memory: `Rows` as it stands, or `Windows`, which is never
// written down: the windows of a convolution (conv2d/windows.cuh). Each gives an address for a row and a column, and
// says whether there is an element; where there is none, the tile gets zeros.
#pragma once

#include "matmul/tiles.cuh"

// A plain matrix.
struct Rows {
    const Real* data;
    long long distance;  // from one row to the next, in elements
    int rows, columns;

    using Row = int;  // its number, or -1 behind the end: what a thread keeps of each row shall be small
    using Column = int;

    __device__ __forceinline__ Row row(int number, int stop) const { return number < stop ? number : -1; }
    __device__ __forceinline__ Column column(int number, int stop) const { return number < stop ? number : -1; }
    __device__ __forceinline__ const Real* find(Row row, Column column, bool& inside) const {
        inside = row >= 0 && column >= 0;
        return inside ? data + row * distance + column : data;
    }
};

// Fetches the slices of one factor, one after the other; all threads of the block take part.
template <class Matrix, bool ALONG_DEPTH, int SPAN>
struct Loader {
    using Shape = Tile<ALONG_DEPTH, SPAN>;
    static constexpr int SHARE = Shape::SIZE / THREADS;         // pieces of a thread, all in one column of pieces
    static constexpr int APART = THREADS / Shape::PIECES;       // rows from one to the next
    static_assert(SHARE * THREADS == Shape::SIZE && APART * Shape::PIECES == THREADS, "equal shares");

    const Matrix& matrix;
    const int first;  // row or column of the product
    const int depth_stop;
    typename Matrix::Row rows[ALONG_DEPTH ? SHARE : 1];

    __device__ __forceinline__ Loader(const Matrix& matrix, int first, int depth_stop)
        : matrix(matrix), first(first), depth_stop(depth_stop) {
        if constexpr (ALONG_DEPTH) {
#pragma unroll
            for (int i = 0; i < SHARE; ++i) rows[i] = matrix.row(first + row_of(i), matrix.rows);
        }
    }

    __device__ __forceinline__ static int row_of(int share) { return threadIdx.x / Shape::PIECES + share * APART; }

    // Starts to copy the slice from `depth` on.
    __device__ __forceinline__ void fetch(Piece* tile, int depth) const {
        const int piece = threadIdx.x % Shape::PIECES;
        const int start = (ALONG_DEPTH ? depth : first) + piece * LANES;
        const int stop = ALONG_DEPTH ? depth_stop : matrix.columns;
#pragma unroll
        for (int i = 0; i < SHARE; ++i) {
            typename Matrix::Row row;
            if constexpr (ALONG_DEPTH) {
                row = rows[i];
            } else {
                row = matrix.row(depth + row_of(i), depth_stop);
            }
            Piece& target = tile[place<Shape::PIECES>(row_of(i), piece)];
#pragma unroll (VECTOR == 1 ? 1 : LANES / VECTOR)  // where it is slow anyway, it shall be small
            for (int lane = 0; lane < LANES; lane += VECTOR) {
                bool inside;
                const Real* source = matrix.find(row, matrix.column(start + lane, stop), inside);
                if constexpr (VECTOR * sizeof(Real) >= 4) {
                    cp_async<VECTOR * sizeof(Real)>(&target.lanes[lane], source, inside);
                } else {  // cp.async cannot copy so little
                    target.lanes[lane] = inside ? *source : narrow<Real>(0);
                }
            }
        }
    }
};
