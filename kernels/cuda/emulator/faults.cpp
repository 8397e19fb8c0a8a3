// Faults of the processor and of g++'s checks, told as errors of the thread that caused them.
//
// Kernels are compiled with -fsanitize=alignment,bounds. The compiler calls the handlers below, whose names and
// arguments are those of its own run-time library.
#include <csignal>
#include <cstring>

#include "faults.h"
#include "worker.h"

namespace emulator {

namespace {

__thread const void* fault_address;

[[noreturn]] void report_fault() {
    fail("it reads or writes address %p, which is no memory of the kernel (or its stack is too deep)", fault_address);
}

}  // namespace

struct FaultHandler::Saved {
    struct sigaction segmentation, bus;
};

static FaultHandler::Saved saved;

static void handle(int signal, siginfo_t* info, void* machine) {
    if (worker == nullptr || thread == nullptr) {  // not ours: let it strike again under the handler before us
        sigaction(signal, signal == SIGSEGV ? &saved.segmentation : &saved.bus, nullptr);
        return;
    }
    fault_address = info->si_addr;
#if defined(__x86_64__)
    // Go on in `report_fault`, on a stack that is certainly there.
    auto* registers = static_cast<ucontext_t*>(machine)->uc_mcontext.gregs;
    auto stack = reinterpret_cast<uintptr_t>(worker->emergency_stack()) & ~uintptr_t{15};
    registers[REG_RSP] = static_cast<greg_t>(stack - 8);
    registers[REG_RIP] = reinterpret_cast<greg_t>(&report_fault);
#else
    report_fault();
#endif
}

FaultHandler::FaultHandler() {
    struct sigaction action {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &saved.segmentation);
    sigaction(SIGBUS, &action, &saved.bus);
}

FaultHandler::~FaultHandler() {
    sigaction(SIGSEGV, &saved.segmentation, nullptr);
    sigaction(SIGBUS, &saved.bus, nullptr);
}

SignalStack::SignalStack() : memory_(64 << 10) {
    stack_t stack{};
    stack.ss_sp = memory_.data();
    stack.ss_size = memory_.size();
    sigaltstack(&stack, &before_);
}

SignalStack::~SignalStack() { sigaltstack(&before_, nullptr); }

}  // namespace emulator

// The layout of what g++ hands to its checks.
struct SourceLocation {
    const char* file;
    uint32_t line, column;
};

struct TypeName {
    uint16_t kind, size;
    char name[1];
};

struct MisalignedAccess {
    SourceLocation location;
    const TypeName* type;
    unsigned char alignment_bits, access;
};

struct IndexOutside {
    SourceLocation location;
    const TypeName *array, *index;
};

static const char* file_name(const SourceLocation& location) {
    const char* slash = strrchr(location.file, '/');
    return slash ? slash + 1 : location.file;
}

extern "C" void __ubsan_handle_type_mismatch_v1_abort(MisalignedAccess* access, uintptr_t) {
    emulator::fail("%s:%u reaches %s at an address that is no multiple of %u", file_name(access->location),
                   access->location.line, access->type->name, 1u << access->alignment_bits);
}

extern "C" void __ubsan_handle_out_of_bounds_abort(IndexOutside* access, uintptr_t index) {
    emulator::fail("%s:%u takes element %ld of %s", file_name(access->location), access->location.line,
                   static_cast<long>(index), access->array->name);
}
