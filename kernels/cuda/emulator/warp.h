// Warp operations. Each lane brings its arguments; the last of the lanes named by the mask does the work for all.
#pragma once

#include "runtime.h"

namespace emulator {

template <class T>
struct Shuffle {
    T value, result;
    int lane;    // whose value it wants
    int width;   // lanes are grouped by so many; a wish that leaves the group gives the own value
};

template <class T>
void shuffle(void* const* arguments, unsigned members) {
    for (unsigned lane = 0; lane < WARP_SIZE; ++lane) {
        if (!(members >> lane & 1)) continue;
        auto& own = *static_cast<Shuffle<T>*>(arguments[lane]);
        const int group = int(lane) & -own.width;
        const int source = own.lane < group || own.lane >= group + own.width ? int(lane) : own.lane;
        if (!(members >> source & 1)) {
            fail("a shuffle of its warp reads lane %d, which takes no part in it", source);
        }
        own.result = static_cast<Shuffle<T>*>(arguments[source])->value;
    }
}

template <class T>
inline T shuffle_from(unsigned mask, T value, int lane, int width, Place place) {
    Shuffle<T> own{value, value, lane, width};
    meet_warp(mask, &own, shuffle<T>, place);
    return own.result;
}

struct Ballot {
    int vote;
    unsigned ayes, members;
};

inline void count_votes(void* const* arguments, unsigned members) {
    unsigned ayes = 0;
    for (unsigned lane = 0; lane < WARP_SIZE; ++lane) {
        if ((members >> lane & 1) && static_cast<Ballot*>(arguments[lane])->vote) ayes |= 1u << lane;
    }
    for (unsigned lane = 0; lane < WARP_SIZE; ++lane) {
        if (!(members >> lane & 1)) continue;
        static_cast<Ballot*>(arguments[lane])->ayes = ayes;
        static_cast<Ballot*>(arguments[lane])->members = members;
    }
}

inline Ballot ballot(unsigned mask, int vote, Place place) {
    Ballot own{vote, 0, 0};
    meet_warp(mask, &own, count_votes, place);
    return own;
}

}  // namespace emulator

template <class T>
inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32, emulator::Place place = emulator::Place::of_call()) {
    const int group = int(emulator::thread->lane) & -width;
    return emulator::shuffle_from(mask, value, group + (lane & (width - 1)), width, place);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32,
                          emulator::Place place = emulator::Place::of_call()) {
    return emulator::shuffle_from(mask, value, int(emulator::thread->lane + by), width, place);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, emulator::Place place = emulator::Place::of_call()) {
    return emulator::shuffle_from(mask, value, int(emulator::thread->lane) - int(by), width, place);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, emulator::Place place = emulator::Place::of_call()) {
    return emulator::shuffle_from(mask, value, int(emulator::thread->lane) ^ bits, width, place);
}

inline unsigned __ballot_sync(unsigned mask, int vote, emulator::Place place = emulator::Place::of_call()) {
    return emulator::ballot(mask, vote, place).ayes;
}
inline int __any_sync(unsigned mask, int vote, emulator::Place place = emulator::Place::of_call()) {
    return emulator::ballot(mask, vote, place).ayes != 0;
}
inline int __all_sync(unsigned mask, int vote, emulator::Place place = emulator::Place::of_call()) {
    const emulator::Ballot result = emulator::ballot(mask, vote, place);
    return result.ayes == result.members;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, emulator::Place place = emulator::Place::of_call()) {
    emulator::ballot(mask, 0, place);
}
