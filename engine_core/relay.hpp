// Relay: two threads that take turns as one reader of a ring, so that an event that finds them idle wakes only one.
//
//     push ──▶ inbox ──▶ worker ──▶ outbox ──▶ dispatcher            busy: two threads, one after the other
//     push ──▶ inbox ────────────────────────▶ dispatcher            idle: it does the worker's step for a small batch itself
//
// Waking a thread takes 10 to 50 us, most of what a single event would take from push to handler, and by way of the worker it
// would be two in a row. So an idle dispatcher *watches* the inbox: of both that sleep, a small batch wakes it alone; it takes
// the turn, does the step, passes the turn on and goes to the handlers with what it found. The worker is woken if more has
// come meanwhile, or by the next push that finds nobody watching. Large batches always wake the worker, so that handlers may
// run while it goes on.
//
//   turn       who has it reads the ring (as its one reader) and does the steps; one thread at a time
//   watching   the dispatcher waits, and looks at the inbox too
//
// Who is woken for a published slot (I4 of ring.hpp):
//     somebody has the turn     nobody: he passes it on, and *then* looks at the ring again, or sees to it that the other does
//     else, it is watched       the dispatcher (if it sleeps); before it stops watching, it looks at the ring and wakes the
//                               worker if there is something
//     else                      the worker (if it sleeps)
// The slot is shown before turn and watching are read, they are written before the ring is looked at, all seq_cst: so one of
// the two sees the other.
#pragma once

#include "bell.hpp"

#include <atomic>

namespace tocsin {

class Relay {
  public:
    // Before the ring is used. `deputy`: where the one who watches sleeps.
    void begin(Bell &deputy) noexcept { deputy_ = &deputy; }
    bool shared() const noexcept { return deputy_ != nullptr; }

    bool try_take() noexcept {
        return !taken_.load(std::memory_order_relaxed) && !taken_.exchange(true, std::memory_order_seq_cst);
    }
    void leave() noexcept { taken_.store(false, std::memory_order_seq_cst); }

    void watch(bool so) noexcept { watching_.store(so, std::memory_order_seq_cst); }
    bool watched() const noexcept { return watching_.load(std::memory_order_relaxed); }

    // Whose bell is to be rung for a slot that was shown, or NULL. `own`: the reader's; small: one woken thread is enough.
    Bell *whom(Bell &own, bool small) noexcept {
        if (deputy_ == nullptr)
            return &own;
        if (taken_.load(std::memory_order_seq_cst))
            return nullptr;
        return small && watching_.load(std::memory_order_seq_cst) ? deputy_ : &own;
    }

  private:
    Bell *deputy_ = nullptr;
    alignas(CACHE_LINE) std::atomic<bool> taken_{false};
    std::atomic<bool> watching_{false};
};

} // namespace tocsin
