// Atomics: blocks really run at the same time. Each gives the value from before, as on the GPU.
#pragma once

#include <cstring>

namespace emulator {

template <class T, class Change>
inline T atomically(T* address, Change change) {
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
inline T atomicCAS(T* address, T expected, T value) {
    __atomic_compare_exchange(address, &expected, &value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return expected;
}
