// An epilogue that also finds the moments of what it writes, so that batch normalisation need not read it for them.
#pragma once

#include "cuda/moments.cuh"
#include "matmul/epilogue.cuh"

struct StoreWithMoments : Store<Real> {
    Moments<Sum>* moments;  // of the columns of this row of tiles

    // A thread's own rows first, in two passes over its registers; then, for each column, the threads that share it, in
    // their order. The shared memory is that of the slices, which nobody needs any more.
    template <class Core>
    __device__ __forceinline__ void take(const Core& core, Piece* pieces, int row, int column) const {
        Store<Real>::take(core, pieces, row, column);
        Sum count = 0, mean[Core::COLUMNS] = {}, squares[Core::COLUMNS] = {};
        core.for_each_run([&](int r, int c, int own, const auto& values) {
            if (row + r >= rows) return;
            if (own == 0) count += 1;
            for_each(values, [&](int i, Sum value) { mean[own + i] += widen(result(value, column + c + i)); });
        });
#pragma unroll
        for (int i = 0; i < Core::COLUMNS; ++i) mean[i] /= count > 0 ? count : Sum(1);
        auto* const shared = reinterpret_cast<Moments<Sum>*>(pieces);
        core.for_each_run([&](int r, int c, int own, const auto& values) {
            if (row + r >= rows) return;
            for_each(values, [&](int i, Sum value) {
                const Sum difference = widen(result(value, column + c + i)) - mean[own + i];
                squares[own + i] += difference * difference;
            });
        });
        __syncthreads();
#pragma unroll
        for (int i = 0; i < Core::COLUMNS; ++i) {
            shared[Core::row_thread() * TILE_N + Core::column_of(i)] = {count, mean[i], squares[i]};
        }
        __syncthreads();
        for (int c = threadIdx.x; c < TILE_N && column + c < columns; c += THREADS) {
            Moments<Sum> merged = shared[c];
            for (int thread = 1; thread < Core::ROW_THREADS; ++thread) merged.merge(shared[thread * TILE_N + c]);
            moments[column + c] = merged;
        }
    }

    template <int RUN, class Body>
    __device__ __forceinline__ static void for_each(const Sum (&values)[RUN], Body body) {
#pragma unroll
        for (int i = 0; i < RUN; ++i) body(i, values[i]);
    }
};
