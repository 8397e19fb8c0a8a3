// Atomics: blocks really run at the same time. Each gives the value from before, as on the GPU.
#pragma once

#include <cstring>

#include "runtime.h"

namespace emulator {

// An atomic counts as one, and not by its loads and stores.
template <class T, class Change>
EMULATOR_UNCOUNTED inline T atomically(T* address, Change change) {
    EMULATOR_COUNT(count_atomic());
    T before, after;
    __atomic_load(address, &before, __ATOMIC_RELAXED);
    do after = change(before);
    while (!__atomic_compare_exchange(address, &before, &after, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    return before;
}

}  // namespace emulator

template <class T>
inline T atomicAdd(T* address, T value) {
    return emulator::atomically(address, [=](T before) { return T(before + value); });
}
template <class T>
inline T atomicSub(T* address, T value) {
    return emulator::atomically(address, [=](T before) { return T(before - value); });
}
template <class T>
inline T atomicMax(T* address, T value) {
    return emulator::atomically(address, [=](T before) { return before < value ? value : before; });
}
template <class T>
inline T atomicMin(T* address, T value) {
    return emulator::atomically(address, [=](T before) { return value < before ? value : before; });
}
template <class T>
inline T atomicOr(T* address, T value) {
    return emulator::atomically(address, [=](T before) { return T(before | value); });
}
template <class T>
inline T atomicAnd(T* address, T value) {
    return emulator::atomically(address, [=](T before) { return T(before & value); });
}
template <class T>
inline T atomicExch(T* address, T value) {
    return emulator::atomically(address, [=](T) { return value; });
}
template <class T>
EMULATOR_UNCOUNTED inline T atomicCAS(T* address, T expected, T value) {
    EMULATOR_COUNT(count_atomic());
    __atomic_compare_exchange(address, &expected, &value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return expected;
}
