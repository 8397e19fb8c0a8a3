// CUDA C++ for g++: what a kernel may use, run thread by thread on the processor.
//
// A kernel file is compiled as it is, with this header in front of it. The launch (launch.cpp) calls the kernel once
// for each thread; barriers and warp operations switch to another thread (worker.h). To step through a
// kernel, break on its name in gdb (kernels/cuda/__init__.py says how): a thread is an ordinary call.
#pragma once

#include <cmath>
#include <cstring>

#include "runtime.h"

#define EMULATED 1

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __constant__ static const
// A block runs on one thread of the operating system, so what belongs to a block is local to that thread.
// (`thread_local` inside of a function implies `static`; without `__constinit`, g++ asks at each use of an array of
// halves whether it has been initialised.)
#define __shared__ __constinit thread_local

#define threadIdx (::emulator::thread->index)
#define blockIdx (::emulator::block->index)
#define blockDim (::emulator::block->size)
#define gridDim (::emulator::block->grid)
constexpr int warpSize = 32;

// `dynamic_shared(float4, tile);` declares the shared memory whose size is given at the launch (see ../types.cuh).
#define dynamic_shared(type, name) type* const name = reinterpret_cast<type*>(::emulator::block->dynamic_shared)

inline void __syncthreads(emulator::Place place = emulator::Place::of_call()) { emulator::meet_block(0, place); }
inline int __syncthreads_count(int vote, emulator::Place place = emulator::Place::of_call()) {
    return emulator::meet_block(vote, place).ayes;
}
inline int __syncthreads_or(int vote, emulator::Place place = emulator::Place::of_call()) {
    return emulator::meet_block(vote, place).ayes > 0;
}
inline int __syncthreads_and(int vote, emulator::Place place = emulator::Place::of_call()) {
    const emulator::Votes votes = emulator::meet_block(vote, place);
    return votes.ayes == votes.threads;
}
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() {}

#include "vectors.h"
// These use the above.
#include "arithmetic.h"
#include "atomics.h"
#include "warp.h"

using std::isfinite;
using std::isinf;
using std::isnan;
