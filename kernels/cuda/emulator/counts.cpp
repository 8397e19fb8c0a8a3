// What a kernel asks of memory. One that is compiled to be counted (-fsanitize=thread, see ../compiler.py) calls one
// of the functions below before each of its loads and stores; the compiler was made to insert such calls for
// another purpose, and any library may define them.
//
// They come after repeated loads of one value have been made one and before loops are made vectors: a call is what one
// thread asks for. What is neither in shared memory nor in an array of the launch (a thread's own variables, tables
// of constants) does not count, as on a GPU it lies in registers or in a cache of its own.
#include <algorithm>

#include "worker.h"

namespace emulator {

void Worker::count_access(const void* address, size_t bytes, bool stored) {
    const auto* byte = static_cast<const char*>(address);
    const Launch& launch = shared_->launch;
    auto lies_in = [byte](const char* start, size_t size) { return byte >= start && byte < start + size; };
    if (lies_in(block_.dynamic_shared, launch.shared_bytes) || lies_in(static_shared_, static_bytes_)) {
        (stored ? counts_.shared_stored : counts_.shared_loaded) += bytes;
        return;
    }
    const Range* const first = launch.ranges;
    const Range* const end = first + launch.range_count;
    const Range* next = std::upper_bound(first, end, byte, [](const char* wanted, const Range& range) {
        return wanted < range.start;
    });
    if (next != first && lies_in(next[-1].start, next[-1].size)) {
        (stored ? counts_.stored : counts_.loaded) += bytes;
    }
}

namespace {

void loads(const void* address, size_t bytes) {
    if (worker) worker->count_access(address, bytes, false);
}
void stores(const void* address, size_t bytes) {
    if (worker) worker->count_access(address, bytes, true);
}

}  // namespace

void count_atomic() { ++worker->counts().atomics; }
void count_shared_loads(unsigned bytes) { worker->counts().shared_loaded += bytes; }
void count_tensor_operations(unsigned operations) { worker->counts().tensor_operations += operations; }

}  // namespace emulator

#define EMULATOR_ACCESS(bytes)                                                                   \
    extern "C" void __tsan_read##bytes(void* address) { emulator::loads(address, bytes); }       \
    extern "C" void __tsan_write##bytes(void* address) { emulator::stores(address, bytes); }     \
    extern "C" void __tsan_unaligned_read##bytes(void* address) { emulator::loads(address, bytes); } \
    extern "C" void __tsan_unaligned_write##bytes(void* address) { emulator::stores(address, bytes); }
EMULATOR_ACCESS(1)
EMULATOR_ACCESS(2)
EMULATOR_ACCESS(4)
EMULATOR_ACCESS(8)
EMULATOR_ACCESS(16)
#undef EMULATOR_ACCESS
extern "C" void __tsan_read_range(void* address, unsigned long bytes) { emulator::loads(address, bytes); }
extern "C" void __tsan_write_range(void* address, unsigned long bytes) { emulator::stores(address, bytes); }
extern "C" void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit(void*) {}
