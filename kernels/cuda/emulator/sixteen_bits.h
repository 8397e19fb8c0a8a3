// What half and bfloat16 have in common. Without a user-provided default constructor, as shared memory needs it.
#pragma once

#define EMULATOR_SIXTEEN_BITS(name, to_bits, to_value)                                        \
    struct alignas(2) name {                                                                  \
        unsigned short bits;                                                                  \
        name() = default;                                                                     \
        name(float value) : bits(to_bits(value)) {}                                           \
        operator float() const { return to_value(bits); }                                     \
        static name from_bits(unsigned short bits) {                                          \
            name result;                                                                      \
            result.bits = bits;                                                               \
            return result;                                                                    \
        }                                                                                     \
    };                                                                                        \
    inline name operator+(name a, name b) { return name(to_value(a.bits) + to_value(b.bits)); } \
    inline name operator-(name a, name b) { return name(to_value(a.bits) - to_value(b.bits)); } \
    inline name operator*(name a, name b) { return name(to_value(a.bits) * to_value(b.bits)); } \
    inline name operator/(name a, name b) { return name(to_value(a.bits) / to_value(b.bits)); } \
    inline name operator-(name a) { return name::from_bits(a.bits ^ 0x8000); }                \
    inline bool operator<(name a, name b) { return to_value(a.bits) < to_value(b.bits); }     \
    inline bool operator>(name a, name b) { return to_value(a.bits) > to_value(b.bits); }     \
    inline bool operator<=(name a, name b) { return to_value(a.bits) <= to_value(b.bits); }   \
    inline bool operator>=(name a, name b) { return to_value(a.bits) >= to_value(b.bits); }   \
    inline bool operator==(name a, name b) { return to_value(a.bits) == to_value(b.bits); }   \
    inline bool operator!=(name a, name b) { return to_value(a.bits) != to_value(b.bits); }
