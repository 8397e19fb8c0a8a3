// What a compiled kernel and the emulator's runtime know of each other.
#pragma once

#include <cstddef>
#include <cstdint>

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
};

namespace emulator {

// Where in the source a thread waits.
struct Place {
    const char* file;
    int line;

    // As a default argument, it is the place of the call.
    static constexpr Place of_call(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
        return {file, line};
    }
};

struct Thread {
    uint3 index;
    unsigned number;  // in the block, x fastest
    unsigned lane;    // in the warp
};

struct Block {
    uint3 index;
    dim3 size, grid;
    char* dynamic_shared;
};

// A block stays on one thread of the operating system, so these may be kept per such thread.
extern __thread Thread* thread;
extern __thread Block* block;

// Ends the launch with an error that names kernel, block and thread.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

struct Votes {
    int threads, ayes;
};

// Waits until every thread of the block is here; gives how many came, and how many with a `vote` that is not 0.
Votes meet_block(int vote, Place place);

// What the lanes of a warp do together: the last one to come does it for all. `arguments[lane]` is what the lane
// brought with it, on its own stack; results go there, too.
using WarpWork = void (*)(void* const* arguments, unsigned members);

void meet_warp(unsigned mask, void* arguments, WarpWork work, Place place);

// cp.async: the copy is made as late as it may be, when its thread waits for it.
void copy_later(void* shared, const void* global, unsigned bytes, unsigned bytes_read);
void commit_copies();
void wait_for_copies(unsigned groups_left);

// A kernel that is compiled to be counted (see counts.cpp) tells its loads and stores by itself, and these by a call.
#ifdef EMULATOR_COUNTS
#define EMULATOR_COUNT(call) ::emulator::call
#define EMULATOR_UNCOUNTED __attribute__((no_sanitize("thread")))
#else
#define EMULATOR_COUNT(call) (void)0
#define EMULATOR_UNCOUNTED
#endif

void count_atomic();
void count_shared_loads(unsigned bytes);
void count_tensor_operations(unsigned operations);

// Sums over the threads of a launch (see ../counts.py).
struct Counts {
    uint64_t loaded, stored, shared_loaded, shared_stored, copied;
    uint64_t barriers, warp_operations, atomics, tensor_operations;
};

// The arguments of a launch, as Python lays them out (see ../emulation.py).
struct Guard {
    unsigned char* start;
    uint64_t size;
    int argument;
    int behind;  // 1 behind the buffer, 0 before it
};

// Bytes of global memory that count: those of the arrays, in rising order.
struct Range {
    char* start;
    uint64_t size;
};

struct Launch {
    const char* kernel;
    void (*entry)(void** slots);
    void* (*static_shared)();
    void** slots;
    uint32_t grid[3], block[3];
    uint64_t shared_bytes;
    uint64_t seed;
    Guard* guards;
    int32_t guard_count;
    int32_t workers;
    char* error;
    uint64_t error_size;
    Range* ranges;
    uint64_t range_count;
    Counts counts;
};

constexpr int POISON = 0xFF;  // a NaN in every floating format
constexpr int CANARY = 0xA5;
constexpr unsigned WARP_SIZE = 32;

}  // namespace emulator
