#pragma once

#include <csignal>
#include <vector>

namespace emulator {

// While one of these lives, a segmentation fault inside of a kernel ends the launch with an error, not the process.
class FaultHandler {
  public:
    FaultHandler();
    ~FaultHandler();
    struct Saved;
};

// A stack for signals of this thread: the kernel's own may be what is broken.
class SignalStack {
  public:
    SignalStack();
    ~SignalStack();

  private:
    std::vector<char> memory_;
    stack_t before_{};
};

}  // namespace emulator
