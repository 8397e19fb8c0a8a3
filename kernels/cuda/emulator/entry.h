// How Python calls a kernel: by slots that hold one argument each. Also tells what the arguments must be.
#pragma once

#include <string>
#include <type_traits>

#include "runtime.h"

namespace emulator {

// "in:4" and "out:4": pointers to constant and other elements of so many bytes; "value:8": a value of 8 bytes.
template <class T>
std::string describe() {
    if constexpr (std::is_pointer_v<T>) {
        using Element = std::remove_pointer_t<T>;
        size_t size = 1;
        if constexpr (!std::is_void_v<Element>) size = sizeof(Element);
        return (std::is_const_v<Element> ? "in:" : "out:") + std::to_string(size);
    } else {
        return "value:" + std::to_string(sizeof(T));
    }
}

template <auto kernel>
struct Entry;

template <class... Parameters, void (*kernel)(Parameters...)>
struct Entry<kernel> {
    template <size_t... i>
    static void call(void** slots, std::index_sequence<i...>) {
        kernel(*static_cast<std::remove_const_t<Parameters>*>(slots[i])...);
    }
    static void enter(void** slots) { call(slots, std::index_sequence_for<Parameters...>{}); }
    static const char* parameters() {
        static const std::string text = ((describe<std::remove_const_t<Parameters>>() + " ") + ... + std::string());
        return text.c_str();
    }
};

static thread_local char shared_memory_marker;

}  // namespace emulator

#define EMULATED_KERNEL(kernel)                                                                          \
    extern "C" void emulated_##kernel(void** slots) { emulator::Entry<kernel>::enter(slots); }           \
    extern "C" const char* parameters_of_##kernel() { return emulator::Entry<kernel>::parameters(); }

// Some thread-local variable: all others of the library lie around it, and they are the static shared memory.
extern "C" void* emulated_static_shared() { return &emulator::shared_memory_marker; }
