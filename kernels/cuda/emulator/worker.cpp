#include "worker.h"

#include <sys/mman.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "messages.h"
#include "static_shared.h"

namespace emulator {

__thread Thread* thread = nullptr;
__thread Block* block = nullptr;
__thread Worker* worker = nullptr;

namespace {

constexpr size_t STACK_BYTES = 64 << 10;
constexpr size_t PAGE = 4096;
constexpr size_t SHARED_GUARD = 1024;
constexpr unsigned MOST_THREADS = 1024;

uint3 unravel(uint64_t number, dim3 size) {
    return {unsigned(number % size.x), unsigned(number / size.x % size.y), unsigned(number / size.x / size.y)};
}

// Whether a guard was written to, and where first.
bool damaged(const unsigned char* guard, size_t size, size_t& first) {
    for (first = 0; first < size && guard[first] == CANARY;) ++first;
    return first < size;
}

}  // namespace

void Shared::report(const std::string& message) {
    std::lock_guard<std::mutex> lock(mutex);
    if (!failed.exchange(true)) snprintf(launch.error, launch.error_size, "%s", message.c_str());
}

void Shared::add(const Counts& counts) {
    std::lock_guard<std::mutex> lock(mutex);
    launch.counts.loaded += counts.loaded;
    launch.counts.stored += counts.stored;
    launch.counts.shared_loaded += counts.shared_loaded;
    launch.counts.shared_stored += counts.shared_stored;
    launch.counts.copied += counts.copied;
    launch.counts.barriers += counts.barriers;
    launch.counts.warp_operations += counts.warp_operations;
    launch.counts.atomics += counts.atomics;
    launch.counts.tensor_operations += counts.tensor_operations;
}

Worker::Worker() : emergency_(STACK_BYTES) {}

Worker::~Worker() {
    if (stacks_) munmap(stacks_, stack_count_ * STACK_BYTES);
}

void Worker::run(Shared& shared) {
    shared_ = &shared;
    const Launch& launch = shared.launch;
    count_ = launch.block[0] * launch.block[1] * launch.block[2];
    if (stack_count_ < count_) {
        if (stacks_) munmap(stacks_, stack_count_ * STACK_BYTES);
        stack_count_ = count_;
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        stacks_ = static_cast<char*>(mmap(nullptr, count_ * STACK_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0));
        // The lowest page of each stack stays closed: too deep a recursion faults instead of reaching a neighbour.
        for (unsigned i = 0; i < count_; ++i) mprotect(stacks_ + i * STACK_BYTES, PAGE, PROT_NONE);
    }
    fibers_.resize(count_);
    ready_.resize(count_);
    dynamic_.resize(launch.shared_bytes + 2 * SHARED_GUARD + 1024);
    block_.size = {launch.block[0], launch.block[1], launch.block[2]};
    block_.grid = {launch.grid[0], launch.grid[1], launch.grid[2]};
    auto base = (reinterpret_cast<uintptr_t>(dynamic_.data()) + SHARED_GUARD + 1023) & ~uintptr_t{1023};
    block_.dynamic_shared = reinterpret_cast<char*>(base);
    for (unsigned i = 0; i < count_; ++i) {
        fibers_[i].index = unravel(i, block_.size);
        fibers_[i].number = i;
        fibers_[i].lane = i % WARP_SIZE;
    }
    ThreadLocal statics{static_cast<char*>(launch.static_shared()), nullptr, 0};
    dl_iterate_phdr(find_thread_local, &statics);
    static_shared_ = statics.start;
    static_bytes_ = statics.size;
    counts_ = {};
    worker = this;
    block = &block_;
    while (!shared.failed && !shared.strayed) {
        uint64_t number = shared.next++;
        if (number >= shared.blocks) break;
        run_block(number);
    }
    shared.add(counts_);
    worker = nullptr;
    block = nullptr;
}

void Worker::run_block(uint64_t number) {
    prepare_block(number);
    poison_shared();
    begin_fiber(home_);
    thread = nullptr;
    size_t first;
    auto* behind = reinterpret_cast<unsigned char*>(block_.dynamic_shared + shared_->launch.shared_bytes);
    auto* before = reinterpret_cast<unsigned char*>(block_.dynamic_shared - SHARED_GUARD);
    if (damaged(behind, SHARED_GUARD, first) || damaged(before, SHARED_GUARD, first)) {
        shared_->strayed = true;
    }
}

void Worker::prepare_block(uint64_t number) {
    block_.index = unravel(number, block_.grid);
    const uint64_t seed = shared_->launch.seed;
    random_state_ = (seed * 0x9E3779B97F4A7C15u) ^ (number * 0xBF58476D1CE4E5B9u);
    start_ = 0;
    step_ = 1;
    if (seed != 0) {
        start_ = random() % count_;
        do step_ = 1 + random() % count_;
        while (std::gcd(step_, count_) != 1);
    }
    next_ = start_;
    for (unsigned i = 0; i < count_; ++i) fibers_[i].state = State::unstarted;
    lanes_waiting_.assign((count_ + WARP_SIZE - 1) / WARP_SIZE, 0);
    ready_first_ = ready_count_ = started_ = finished_ = stacks_used_ = 0;
    barrier_ = Barrier{};
}

void Worker::poison_shared() {
    const size_t bytes = shared_->launch.shared_bytes;
    memset(block_.dynamic_shared - SHARED_GUARD, CANARY, SHARED_GUARD);
    memset(block_.dynamic_shared, POISON, bytes);
    memset(block_.dynamic_shared + bytes, CANARY, SHARED_GUARD);
    if (static_shared_) memset(static_shared_, POISON, static_bytes_);
}

void Worker::look_at_guards() {
    const Launch& launch = shared_->launch;
    size_t first;
    for (int i = 0; i < launch.guard_count; ++i) {
        const Guard& guard = launch.guards[i];
        if (!damaged(guard.start, guard.size, first)) continue;
        if (guard.behind) {
            fail(text("it writes %zu bytes behind the end of argument %d", first, guard.argument));
        }
        fail(text("it writes %zu bytes before the start of argument %d", size_t(guard.size) - first, guard.argument));
    }
    const auto* shared = reinterpret_cast<unsigned char*>(block_.dynamic_shared);
    if (damaged(shared + launch.shared_bytes, SHARED_GUARD, first)) {
        fail(text("it writes %zu bytes behind its %zu bytes of dynamic shared memory", first, launch.shared_bytes));
    }
    if (damaged(shared - SHARED_GUARD, SHARED_GUARD, first)) {
        fail(text("it writes %zu bytes before its dynamic shared memory", SHARED_GUARD - first));
    }
}

// Starts the next fiber, on a stack of its own.
void Worker::begin_fiber(Context& left) {
    const unsigned number = stacks_used_++;
    // Stacks that all began at the same place of a page would fight for the same few lines of the cache.
    const size_t colour = number % 32 * 320;
    Context entered;
    make_context(entered, stacks_ + number * STACK_BYTES, STACK_BYTES - colour, fiber_main);
    switch_context(left, entered);
}

void Worker::fiber_main() { worker->run_threads(); }

// The life of a fiber. It never returns: its stack is left behind when no thread is left to start.
void Worker::run_threads() {
    while (started_ < count_) {
        Fiber& fiber = fibers_[next_];
        ++started_;
        next_ = after(next_);
        fiber.groups = 0;
        fiber.copies.clear();
        thread = &fiber;
        shared_->launch.entry(shared_->launch.slots);
        fiber.state = State::finished;
        ++finished_;
        if (shared_->precise) look_at_guards();
    }
    resume(abandoned_);
    __builtin_unreachable();
}

// Goes on with a thread that can run; home, when all have finished.
void Worker::resume(Context& left) {
    if (ready_count_ > 0) {
        Fiber& next = *ready_[ready_first_];
        if (++ready_first_ == count_) ready_first_ = 0;
        --ready_count_;
        // Who came last to a barrier may be the first to go on: then there is nothing to switch.
        if (&next.context != &left) switch_context(left, next.context);
    } else if (finished_ == count_) {
        switch_context(left, home_);
    } else {
        deadlock();
    }
}

void Worker::suspend(State state, Place place) {
    Fiber& fiber = current();
    fiber.state = state;
    fiber.place = place;
    if (shared_->precise) look_at_guards();
    if (started_ < count_) {
        begin_fiber(fiber.context);
    } else {
        resume(fiber.context);
    }
    thread = &fiber;
}

void Worker::wake(Fiber& fiber) {
    unsigned end = ready_first_ + ready_count_++;
    ready_[end < count_ ? end : end - count_] = &fiber;
    fiber.state = State::ready;
}

void Worker::fail(const std::string& what) {
    std::string where = text("kernel %s, block %s", shared_->launch.kernel, text(block_.index).c_str());
    if (thread) where += text(", thread %s", text(thread->index).c_str());
    shared_->report(where + ": " + what);
    switch_context(abandoned_, home_);
    __builtin_unreachable();
}

uint64_t Worker::random() {  // splitmix64
    uint64_t z = random_state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

// A copy may be there long before it is waited for: with any seed but 0, half of them are.
bool Worker::copies_early() { return shared_->launch.seed != 0 && (random() & 1); }

Votes meet_block(int vote, Place place) { return worker->meet_block(vote, place); }

void meet_warp(unsigned mask, void* arguments, WarpWork work, Place place) {
    worker->meet_warp(mask, arguments, work, place);
}

void fail(const char* format, ...) {
    char buffer[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    worker->fail(buffer);
}

}  // namespace emulator
