// Where threads wait for each other: the barrier of a block, the operations of a warp, and what goes wrong there.
#include "messages.h"
#include "worker.h"

namespace emulator {

Votes Worker::meet_block(int vote, Place place) {
    Fiber& fiber = current();
    if (barrier_.arrived == 0) barrier_.first = &fiber;
    if (place.line != barrier_.first->place.line && barrier_.arrived > 0) {
        fail(text("it waits at the barrier of %s while thread %s waits at that of %s: a barrier must be reached by all",
                  text(place).c_str(), text(barrier_.first->index).c_str(), text(barrier_.first->place).c_str()));
    }
    fiber.place = place;
    barrier_.ayes += vote != 0;
    if (++barrier_.arrived < count_) {
        suspend(State::at_barrier, place);
        return barrier_.result;
    }
    ++counts_.barriers;
    barrier_.result = {int(count_), barrier_.ayes};
    barrier_.arrived = 0;
    barrier_.ayes = 0;
    if (count_ > 1) {
        for (unsigned i = 0, number = start_; i < count_; ++i, number = after(number)) wake(fibers_[number]);
        suspend(State::ready, place);  // who came last has its place in the order, too
    }
    return barrier_.result;
}

// Those lanes of `mask` that the warp has: the last warp of a block may be short.
unsigned Worker::members_of(unsigned warp, unsigned mask) const {
    const unsigned lanes = count_ - warp * WARP_SIZE;
    return lanes < WARP_SIZE ? mask & ((1u << lanes) - 1) : mask;
}

void Worker::meet_warp(unsigned mask, void* arguments, WarpWork work, Place place) {
    Fiber& fiber = current();
    const unsigned warp = fiber.number / WARP_SIZE;
    const unsigned members = members_of(warp, mask);
    if (!(members >> fiber.lane & 1)) {
        fail(text("it calls a warp operation at %s whose mask 0x%08x leaves out its own lane %u", text(place).c_str(),
                  mask, fiber.lane));
    }
    Fiber* lanes = &fibers_[warp * WARP_SIZE];
    fiber.mask = mask;
    fiber.work = work;
    fiber.arguments = arguments;
    fiber.state = State::in_warp;
    fiber.place = place;
    lanes_waiting_[warp] |= 1u << fiber.lane;
    if ((lanes_waiting_[warp] & members) != members) {
        suspend(State::in_warp, place);
        return;
    }
    lanes_waiting_[warp] &= ~members;
    void* all[WARP_SIZE] = {};
    for (unsigned lane = 0; lane < WARP_SIZE; ++lane) {
        if (!(members >> lane & 1)) continue;
        if (lanes[lane].mask != mask || lanes[lane].work != work) {
            fail(text("it calls a warp operation at %s with mask 0x%08x while thread %s of its warp calls another at %s "
                      "with mask 0x%08x",
                      text(place).c_str(), mask, text(lanes[lane].index).c_str(), text(lanes[lane].place).c_str(),
                      lanes[lane].mask));
        }
        all[lane] = lanes[lane].arguments;
    }
    ++counts_.warp_operations;
    work(all, members);
    for (unsigned lane = 0; lane < WARP_SIZE; ++lane) {
        if ((members >> lane & 1) && lane != fiber.lane) wake(lanes[lane]);
    }
    fiber.state = State::ready;
}

void Worker::deadlock() {
    const Fiber* waiting = nullptr;
    const Fiber* missing = nullptr;
    for (const Fiber& fiber : fibers_) {
        if (fiber.state == State::at_barrier || fiber.state == State::in_warp) waiting = waiting ? waiting : &fiber;
    }
    const bool warp = waiting->state == State::in_warp;
    for (const Fiber& fiber : fibers_) {
        const bool expected = !warp || (fiber.number / WARP_SIZE == waiting->number / WARP_SIZE &&
                                        (waiting->mask >> fiber.lane & 1));
        const bool there = fiber.state == waiting->state && fiber.place.line == waiting->place.line;
        if (expected && !there && !missing) missing = &fiber;
    }
    thread = const_cast<Fiber*>(waiting);
    std::string why = "never comes";
    if (missing && missing->state == State::finished) why = "has left the kernel without it";
    if (missing && missing->state != State::finished) why = "waits at " + text(missing->place);
    fail(text("it waits at the %s of %s for ever: thread %s %s", warp ? "warp operation" : "barrier",
              text(waiting->place).c_str(), missing ? text(missing->index).c_str() : "?", why.c_str()));
}

}  // namespace emulator
