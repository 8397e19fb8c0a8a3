// Pieces of the sentences that a person gets to read.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string>

#include "runtime.h"

namespace emulator {

inline std::string text(const char* format, ...) {
    char buffer[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    return buffer;
}

inline std::string text(uint3 index) { return text("(%u, %u, %u)", index.x, index.y, index.z); }

inline std::string text(Place place) {
    const char* name = strrchr(place.file, '/');
    return text("%s:%d", name ? name + 1 : place.file, place.line);
}

}  // namespace emulator
