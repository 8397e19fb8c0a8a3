// CUDA's bfloat16: the upper half of a float. Conversions round to nearest even; arithmetic goes through float.
#pragma once

#include "arithmetic.h"
#include "sixteen_bits.h"

namespace emulator {

inline unsigned short bfloat16_bits(float value) {
    const unsigned x = bits_as<unsigned>(value);
    if ((x & 0x7fffffff) > 0x7f800000) return 0x7fff;  // NaN: CUDA has one
    return (x + 0x7fff + (x >> 16 & 1)) >> 16;
}

inline float bfloat16_value(unsigned short bits) { return bits_as<float>(unsigned(bits) << 16); }

}  // namespace emulator

EMULATOR_SIXTEEN_BITS(__nv_bfloat16, emulator::bfloat16_bits, emulator::bfloat16_value)

struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

inline float __bfloat162float(__nv_bfloat16 x) { return float(x); }
inline __nv_bfloat16 __float2bfloat16(float x) { return __nv_bfloat16(x); }
inline __nv_bfloat16 __float2bfloat16_rn(float x) { return __nv_bfloat16(x); }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {__nv_bfloat16(x), __nv_bfloat16(y)}; }
inline __nv_bfloat162 __float22bfloat162_rn(float2 v) { return {__nv_bfloat16(v.x), __nv_bfloat16(v.y)}; }
inline float2 __bfloat1622float2(__nv_bfloat162 v) { return {float(v.x), float(v.y)}; }
inline float __low2float(__nv_bfloat162 v) { return float(v.x); }
inline float __high2float(__nv_bfloat162 v) { return float(v.y); }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) { return __nv_bfloat16::from_bits(bits); }
