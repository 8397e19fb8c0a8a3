// ldmatrix and mma.sync in plain C++. The layouts of the fragments are those of the PTX ISA, section "Warp-level
// matrix instructions": with g = lane / 4 and t = lane % 4, which element each register of a lane holds.
#pragma once

#include "arithmetic.h"
#include "runtime.h"

namespace emulator {

constexpr unsigned FULL_WARP = 0xffffffffu;

inline void need_all_lanes(unsigned members, const char* what) {
    if (members != FULL_WARP) fail("%s needs all 32 lanes of a warp, and this warp has fewer", what);
}

// Four 8x8 matrices of 16-bit elements; lane 8*i + r gives the address of row r of matrix i. Register i of a lane gets
// the elements 2t and 2t+1 of row g of matrix i; transposed, those of column g.
struct LoadMatrices {
    const unsigned short* row;
    unsigned* registers;
    int transposed;
};

inline void load_matrices(void* const* arguments, unsigned members) {
    need_all_lanes(members, "ldmatrix");
    EMULATOR_COUNT(count_shared_loads(4 * 8 * 8 * sizeof(unsigned short)));
    auto of = [&](unsigned lane) -> LoadMatrices& { return *static_cast<LoadMatrices*>(arguments[lane]); };
    for (unsigned lane = 0; lane < WARP_SIZE; ++lane) {
        const unsigned g = lane / 4, t = lane % 4;
        for (unsigned matrix = 0; matrix < 4; ++matrix) {
            auto element = [&](unsigned row, unsigned column) EMULATOR_UNCOUNTED -> unsigned {
                return of(8 * matrix + row).row[column];
            };
            const bool across = of(lane).transposed;
            const unsigned low = across ? element(2 * t, g) : element(g, 2 * t);
            const unsigned high = across ? element(2 * t + 1, g) : element(g, 2 * t + 1);
            of(lane).registers[matrix] = low | high << 16;
        }
    }
}

inline void ldmatrix_x4(unsigned* registers, const void* row, int transposed, Place place) {
    if (reinterpret_cast<uintptr_t>(row) % 16) fail("ldmatrix reads a row whose address is no multiple of 16");
    LoadMatrices own{static_cast<const unsigned short*>(row), registers, transposed};
    meet_warp(FULL_WARP, &own, load_matrices, place);
}

// d = a @ b + d, a (16, K) and b (K, 8), sums in float.
struct MultiplyAdd {
    float* d;
    const unsigned *a, *b;
};

template <int K>
inline void multiply_add(void* const* arguments, const float (&a)[16][K], const float (&b)[K][8]) {
    EMULATOR_COUNT(count_tensor_operations(2 * 16 * 8 * K));
    float product[16][8] = {};
    for (int row = 0; row < 16; ++row) {
        for (int k = 0; k < K; ++k) {
            for (int column = 0; column < 8; ++column) product[row][column] += a[row][k] * b[k][column];
        }
    }
    for (unsigned lane = 0; lane < WARP_SIZE; ++lane) {
        const unsigned g = lane / 4, t = lane % 4;
        float* d = static_cast<MultiplyAdd*>(arguments[lane])->d;
        for (unsigned i = 0; i < 4; ++i) d[i] += product[g + 8 * (i / 2)][2 * t + i % 2];
    }
}

// m16n8k16; each register holds two elements whose values `value` gives.
template <float value(unsigned short)>
void mma_16_bits(void* const* arguments, unsigned members) {
    need_all_lanes(members, "mma.sync");
    float a[16][16], b[16][8];
    for (unsigned lane = 0; lane < WARP_SIZE; ++lane) {
        const unsigned g = lane / 4, t = lane % 4;
        const auto& own = *static_cast<MultiplyAdd*>(arguments[lane]);
        for (unsigned i = 0; i < 4; ++i) {
            float* pair = &a[g + 8 * (i % 2)][2 * t + 8 * (i / 2)];
            pair[0] = value(own.a[i] & 0xffff);
            pair[1] = value(own.a[i] >> 16);
        }
        for (unsigned i = 0; i < 2; ++i) {
            b[2 * t + 8 * i][g] = value(own.b[i] & 0xffff);
            b[2 * t + 8 * i + 1][g] = value(own.b[i] >> 16);
        }
    }
    multiply_add<16>(arguments, a, b);
}

// m16n8k8 on floats of which the tensor core sees the upper 19 bits.
inline void mma_tf32(void* const* arguments, unsigned members) {
    need_all_lanes(members, "mma.sync");
    auto value = [](unsigned bits) { return bits_as<float>(bits & 0xffffe000u); };
    float a[16][8], b[8][8];
    for (unsigned lane = 0; lane < WARP_SIZE; ++lane) {
        const unsigned g = lane / 4, t = lane % 4;
        const auto& own = *static_cast<MultiplyAdd*>(arguments[lane]);
        for (unsigned i = 0; i < 4; ++i) a[g + 8 * (i % 2)][t + 4 * (i / 2)] = value(own.a[i]);
        for (unsigned i = 0; i < 2; ++i) b[t + 4 * i][g] = value(own.b[i]);
    }
    multiply_add<8>(arguments, a, b);
}

inline void mma(float* d, const unsigned* a, const unsigned* b, WarpWork work, Place place) {
    MultiplyAdd own{d, a, b};
    meet_warp(FULL_WARP, &own, work, place);
}

}  // namespace emulator
