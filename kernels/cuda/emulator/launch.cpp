// A launch from first to last: blocks over all workers, then a look at the guards.
#include <algorithm>
#include <cstring>
#include <memory>
#include <thread>

#include "faults.h"
#include "worker.h"

namespace emulator {

namespace {

std::mutex one_at_a_time;  // a launch takes all cores anyway
std::vector<std::unique_ptr<Worker>> workers;  // with their stacks, which are dear to make

void run(Shared& shared, unsigned count) {
    while (workers.size() < count) workers.push_back(std::make_unique<Worker>());
    auto work = [&shared](Worker* worker) {
        SignalStack stack;
        worker->run(shared);
    };
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < count; ++i) threads.emplace_back(work, workers[i].get());
    work(workers[0].get());
    for (auto& thread : threads) thread.join();
}

bool restore_guards(Launch& launch) {
    bool damaged = false;
    for (int i = 0; i < launch.guard_count; ++i) {
        Guard& guard = launch.guards[i];
        for (uint64_t k = 0; k < guard.size && !damaged; ++k) damaged = guard.start[k] != CANARY;
    }
    for (int i = 0; damaged && i < launch.guard_count; ++i) {
        memset(launch.guards[i].start, CANARY, launch.guards[i].size);
    }
    return damaged;
}

}  // namespace

}  // namespace emulator

// Gives 0, or 1 with the sentence in `launch->error`.
extern "C" int emulator_launch(emulator::Launch* launch) {
    using namespace emulator;
    std::lock_guard<std::mutex> lock(one_at_a_time);
    FaultHandler handler;
    Shared shared(*launch);
    const uint64_t most = launch->workers > 1 ? launch->workers : 1;
    run(shared, static_cast<unsigned>(std::min(most, shared.blocks)));
    if (shared.failed) return 1;
    if (restore_guards(*launch) || shared.strayed) {
        // Somebody wrote where nothing is. Run again, one block after another, and look after every thread.
        Shared again(*launch);
        again.precise = true;
        run(again, 1);
        restore_guards(*launch);
        if (!again.failed) {
            again.report(std::string("kernel ") + launch->kernel +
                         ": a thread writes outside of the arguments, but not when all run one after another");
        }
        return 1;
    }
    return 0;
}
