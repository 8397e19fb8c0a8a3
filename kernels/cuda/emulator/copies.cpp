// cp.async: copies from global to shared memory that are done at some time between their issue and their wait.
#include <algorithm>
#include <cstring>

#include "worker.h"

namespace emulator {

namespace {

void copy(const Copy& copy) {
    memcpy(copy.shared, copy.global, copy.bytes_read);
    memset(copy.shared + copy.bytes_read, 0, copy.bytes - copy.bytes_read);
}

}  // namespace

void copy_later(void* shared, const void* global, unsigned bytes, unsigned bytes_read) {
    if (reinterpret_cast<uintptr_t>(shared) % bytes || (bytes_read && reinterpret_cast<uintptr_t>(global) % bytes)) {
        fail("it copies %u bytes with cp.async between addresses that are no multiples of %u", bytes, bytes);
    }
    Counts& counts = worker->counts();
    counts.copied += bytes_read;
    counts.loaded += bytes_read;
    counts.shared_stored += bytes;
    Fiber& fiber = worker->current();
    Copy wanted{static_cast<char*>(shared), static_cast<const char*>(global), bytes, bytes_read, fiber.groups};
    if (worker->copies_early()) {
        copy(wanted);
    } else {
        fiber.copies.push_back(wanted);
    }
}

void commit_copies() { ++worker->current().groups; }

void wait_for_copies(unsigned groups_left) {
    Fiber& fiber = worker->current();
    auto pending = std::find_if(fiber.copies.begin(), fiber.copies.end(), [&](const Copy& waiting) {
        return waiting.group + groups_left >= fiber.groups;
    });
    std::for_each(fiber.copies.begin(), pending, copy);
    fiber.copies.erase(fiber.copies.begin(), pending);
}

}  // namespace emulator
