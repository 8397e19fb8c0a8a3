// Where the `__shared__` variables of a kernel library are, in the running thread.
#pragma once

#include <link.h>

namespace emulator {

// The thread-local memory of the library that holds `marker`: the kernel's static shared memory.
struct ThreadLocal {
    char *marker, *start;
    size_t size;
};

inline int find_thread_local(dl_phdr_info* library, size_t, void* found) {
    auto& wanted = *static_cast<ThreadLocal*>(found);
    auto* start = static_cast<char*>(library->dlpi_tls_data);
    for (int i = 0; start != nullptr && i < library->dlpi_phnum; ++i) {
        const auto& segment = library->dlpi_phdr[i];
        if (segment.p_type == PT_TLS && wanted.marker >= start && wanted.marker < start + segment.p_memsz) {
            wanted.start = start;
            wanted.size = segment.p_memsz;
            return 1;
        }
    }
    return 0;
}

}  // namespace emulator
