// CUDA's half: 1 sign, 5 exponent and 10 mantissa bits. Conversions round to nearest even; arithmetic goes through float.
#pragma once

#include "arithmetic.h"
#include "sixteen_bits.h"

namespace emulator {

inline unsigned short half_bits(float value) {
    unsigned x = bits_as<unsigned>(value);
    const unsigned sign = x >> 16 & 0x8000;
    x &= 0x7fffffff;
    if (x > 0x7f800000) return 0x7fff;         // NaN: CUDA has one
    if (x >= 0x477ff000) return sign | 0x7c00;  // 65520 and more round to infinity
    if (x < 0x38800000) {
        // Less than 2^-14. In the float 0.5 + x the last bit is worth 2^-24, as in these halves.
        return sign | (bits_as<unsigned>(bits_as<float>(x) + 0.5f) - 0x3f000000);
    }
    x += 0xfff + (x >> 13 & 1);
    return sign | (x - 0x38000000) >> 13;
}

inline float half_value(unsigned short bits) {
    const unsigned sign = unsigned(bits & 0x8000) << 16, x = bits & 0x7fff;
    if (x >= 0x7c00) return bits_as<float>(sign | 0x7f800000 | x << 13);
    if (x < 0x400) return bits_as<float>(sign | bits_as<unsigned>(x * 0x1p-24f));
    return bits_as<float>(sign | ((x << 13) + 0x38000000));
}

}  // namespace emulator

EMULATOR_SIXTEEN_BITS(__half, emulator::half_bits, emulator::half_value)
using half = __half;

struct alignas(4) __half2 {
    __half x, y;
};
using half2 = __half2;

inline float __half2float(__half x) { return float(x); }
inline __half __float2half(float x) { return __half(x); }
inline __half __float2half_rn(float x) { return __half(x); }
inline __half2 __floats2half2_rn(float x, float y) { return {__half(x), __half(y)}; }
inline __half2 __float22half2_rn(float2 v) { return {__half(v.x), __half(v.y)}; }
inline float2 __half22float2(__half2 v) { return {float(v.x), float(v.y)}; }
inline float __low2float(__half2 v) { return float(v.x); }
inline float __high2float(__half2 v) { return float(v.y); }
inline unsigned short __half_as_ushort(__half x) { return x.bits; }
inline __half __ushort_as_half(unsigned short bits) { return __half::from_bits(bits); }
