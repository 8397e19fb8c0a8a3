// Two stacks and the way between them: what makes a fiber.
//
// On x86-64 a switch saves the six registers that a function must preserve and exchanges the stack pointer, some
// two nanoseconds; ucontext, elsewhere, makes a system call each time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

#if defined(__x86_64__) && !defined(EMULATOR_UCONTEXT)

using Context = void*;  // the stack pointer of what was left

extern "C" void emulator_switch(Context* left, Context entered);
asm(R"(
    .text
    .globl emulator_switch
    .type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulator_switch, .-emulator_switch
)");

inline void switch_context(Context& left, Context& entered) { emulator_switch(&left, entered); }

inline void make_context(Context& context, char* stack, size_t size, void (*entry)()) {
    // The first switch pops six registers and "returns" into `entry`, with the stack aligned as after a call.
    auto top = reinterpret_cast<uintptr_t>(stack + size) & ~uintptr_t{15};
    auto* frame = reinterpret_cast<void**>(top) - 8;
    for (int i = 0; i < 8; ++i) frame[i] = nullptr;
    frame[6] = reinterpret_cast<void*>(entry);
    context = frame;
}

#else

}  // namespace emulator
#include <ucontext.h>
namespace emulator {

using Context = ucontext_t;

inline void switch_context(Context& left, Context& entered) { swapcontext(&left, &entered); }

inline void make_context(Context& context, char* stack, size_t size, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = size;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
}

#endif

}  // namespace emulator
