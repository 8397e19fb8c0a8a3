// The instructions that CUDA C++ has no words for, each behind a function. On the GPU it is the instruction
// (sm_80 and later); in the emulator a twin in plain C++ that means the same.
//
// `Fragments` are registers: which elements of a matrix a lane holds is in the PTX ISA, "Warp-level matrix
// instructions", and in emulator/tensor_cores.h.
#pragma once

#include "cuda/types.cuh"

#ifdef EMULATED
#include "emulator/tensor_cores.h"
#else
__device__ __forceinline__ unsigned shared_address(const void* pointer) {
    return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}
#endif

// Starts to copy BYTES (4, 8 or 16) from global to shared memory; where not `valid`, zeros are written instead and
// `global` is not read. The bytes are there after `cp_async_wait` and, for other threads, a barrier.
template <int BYTES>
__device__ __forceinline__ void cp_async(void* shared, const void* global, bool valid = true) {
    static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16, "cp.async copies 4, 8 or 16 bytes");
#ifdef EMULATED
    emulator::copy_later(shared, global, BYTES, valid ? BYTES : 0);
#else
    const unsigned read = valid ? BYTES : 0;
    if constexpr (BYTES == 16) {  // past the first-level cache, which only this width can
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                     "r"(read)
                     : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(shared)), "l"(global),
                     "n"(BYTES), "r"(read)
                     : "memory");
    }
#endif
}

// Closes a group of copies.
__device__ __forceinline__ void cp_async_commit() {
#ifdef EMULATED
    emulator::commit_copies();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most the LEFT latest groups of this thread are still under way.
template <int LEFT>
__device__ __forceinline__ void cp_async_wait() {
#ifdef EMULATED
    emulator::wait_for_copies(LEFT);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
#endif
}

// Four 8x8 matrices of 16-bit elements from shared memory; lane 8*i + r gives the address of row r of matrix i.
#ifdef EMULATED
inline void ldmatrix_x4(unsigned (&registers)[4], const void* row, emulator::Place place = emulator::Place::of_call()) {
    emulator::ldmatrix_x4(registers, row, 0, place);
}
inline void ldmatrix_x4_transposed(unsigned (&registers)[4], const void* row,
                                   emulator::Place place = emulator::Place::of_call()) {
    emulator::ldmatrix_x4(registers, row, 1, place);
}
#else
__device__ __forceinline__ void ldmatrix_x4(unsigned (&registers)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(shared_address(row))
                 : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_transposed(unsigned (&registers)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(shared_address(row))
                 : "memory");
}
#endif

// d (16, 8) += a (16, K) @ b (K, 8) by one warp, sums in float: K = 16 for half and bfloat16, 8 for tf32.
// The first argument only tells the element type: mma(__half(), d, a, b).
struct tf32 {};

#ifdef EMULATED
inline void mma(__half, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                emulator::Place place = emulator::Place::of_call()) {
    emulator::mma(d, a, b, emulator::mma_16_bits<emulator::half_value>, place);
}
inline void mma(__nv_bfloat16, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                emulator::Place place = emulator::Place::of_call()) {
    emulator::mma(d, a, b, emulator::mma_16_bits<emulator::bfloat16_value>, place);
}
inline void mma(tf32, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                emulator::Place place = emulator::Place::of_call()) {
    emulator::mma(d, a, b, emulator::mma_tf32, place);
}
#else
#define MINIGRAD_MMA(type, shape, a_type)                                                                     \
    __device__ __forceinline__ void mma(type, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { \
        asm volatile("mma.sync.aligned." shape ".row.col.f32." a_type "." a_type                              \
                     ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                    \
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                         \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                     \
    }
MINIGRAD_MMA(__half, "m16n8k16", "f16")
MINIGRAD_MMA(__nv_bfloat16, "m16n8k16", "bf16")
MINIGRAD_MMA(tf32, "m16n8k8", "tf32")
#undef MINIGRAD_MMA
#endif

// The float nearest to `x` that tf32 can hold (ties away from zero), as the bits that `mma` takes.
__device__ __forceinline__ unsigned to_tf32(float x) {
#ifdef EMULATED
    const unsigned bits = __float_as_uint(x);
    return isfinite(x) ? (bits + 0x1000u) & 0xffffe000u : bits;
#else
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
#endif
}
