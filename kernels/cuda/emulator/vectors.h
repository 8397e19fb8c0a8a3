// CUDA's small vectors, aligned as on the GPU: reading one from another address is an error here, too.
#pragma once

#define EMULATOR_VECTORS(element, name)                                              \
    struct alignas(2 * sizeof(element)) name##2 {                                    \
        element x, y;                                                                \
    };                                                                               \
    struct name##3 {                                                                 \
        element x, y, z;                                                             \
    };                                                                               \
    struct alignas(4 * sizeof(element) < 16 ? 4 * sizeof(element) : 16) name##4 {    \
        element x, y, z, w;                                                          \
    };                                                                               \
    inline name##2 make_##name##2(element x, element y) { return {x, y}; }           \
    inline name##3 make_##name##3(element x, element y, element z) { return {x, y, z}; } \
    inline name##4 make_##name##4(element x, element y, element z, element w) { return {x, y, z, w}; }

#define uint3 emulator_uint3  // runtime.h has it: it is the type of threadIdx
EMULATOR_VECTORS(unsigned int, uint)
#undef uint3
EMULATOR_VECTORS(int, int)
EMULATOR_VECTORS(float, float)
EMULATOR_VECTORS(double, double)
EMULATOR_VECTORS(char, char)
EMULATOR_VECTORS(unsigned char, uchar)
EMULATOR_VECTORS(short, short)
EMULATOR_VECTORS(unsigned short, ushort)
EMULATOR_VECTORS(long long, longlong)
#undef EMULATOR_VECTORS
