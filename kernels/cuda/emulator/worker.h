// One thread of the operating system, which runs the threads of one block after another as fibers.
//
// A fiber runs threads to their end, one after the other, until one of them has to wait; then the next fiber goes
// on with those that have not started. So a kernel without a barrier never switches at all, and one
// with barriers has as many fibers as threads. Whoever must wait hands over to whoever can run; nothing in between.
//
// The order in which threads start, and in which they go on after a barrier, follows from the seed: seed 0 takes
// them by number, any other takes every k-th, with a start and a k that depend on the block.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "context.h"
#include "runtime.h"

namespace emulator {

enum class State { unstarted, ready, at_barrier, in_warp, finished };

struct Copy {
    char* shared;
    const char* global;
    unsigned bytes, bytes_read, group;
};

struct Fiber : Thread {
    State state;
    Context context;
    Place place;        // where it waits
    unsigned mask;      // of the lanes that it waits for
    WarpWork work;
    void* arguments;
    unsigned groups;    // of copies, committed so far
    std::vector<Copy> copies;
};

// What all workers of a launch share.
struct Shared {
    Launch& launch;
    uint64_t blocks;
    bool precise = false;  // look at the guards after every thread, to name the one that strays
    std::atomic<uint64_t> next{0};
    std::atomic<bool> failed{false}, strayed{false};
    std::mutex mutex;

    explicit Shared(Launch& given)
        : launch(given), blocks(uint64_t{given.grid[0]} * given.grid[1] * given.grid[2]) {}
    void report(const std::string& message);
    void add(const Counts& counts);
};

class Worker {
  public:
    Worker();
    ~Worker();
    void run(Shared& shared);  // takes blocks until there are none left

    Votes meet_block(int vote, Place place);
    void meet_warp(unsigned mask, void* arguments, WarpWork work, Place place);
    bool copies_early();
    [[noreturn]] void fail(const std::string& what);
    void count_access(const void* address, size_t bytes, bool stored);
    Counts& counts() { return counts_; }
    Fiber& current() { return *static_cast<Fiber*>(thread); }
    void* emergency_stack() { return emergency_.data() + emergency_.size() / 2; }

  private:
    struct Barrier {
        unsigned arrived = 0;
        int ayes = 0;
        Votes result{0, 0};
        Fiber* first = nullptr;
    };

    void run_block(uint64_t number);
    void prepare_block(uint64_t number);
    void poison_shared();
    void look_at_guards();
    static void fiber_main();
    void run_threads();
    void begin_fiber(Context& left);
    void resume(Context& left);
    void suspend(State state, Place place);
    void wake(Fiber& fiber);
    [[noreturn]] void deadlock();
    uint64_t random();
    unsigned after(unsigned number) const {
        number += step_;
        return number < count_ ? number : number - count_;
    }
    unsigned members_of(unsigned warp, unsigned mask) const;

    Shared* shared_ = nullptr;
    Block block_{};
    std::vector<Fiber> fibers_;
    std::vector<Fiber*> ready_;  // a ring: each fiber is in it at most once
    unsigned ready_first_ = 0, ready_count_ = 0;
    unsigned count_ = 0, started_ = 0, finished_ = 0, stacks_used_ = 0;
    unsigned start_ = 0, step_ = 1, next_ = 0;
    std::vector<unsigned> lanes_waiting_;  // for each warp, a bit for each lane
    uint64_t random_state_ = 0;
    Barrier barrier_;
    Counts counts_{};
    Context home_{}, abandoned_{};
    char* stacks_ = nullptr;
    unsigned stack_count_ = 0;
    char* static_shared_ = nullptr;
    size_t static_bytes_ = 0;
    std::vector<char> dynamic_, emergency_;
};

extern __thread Worker* worker;

}  // namespace emulator
