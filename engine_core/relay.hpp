// Relay: two threads that take turns as one reader of a ring, so that an event that finds them idle wakes only one.
//
//     push ──▶ inbox ──▶ worker ──▶ outbox ──▶ dispatcher            busy: two threads, one after the other
//     push ──▶ inbox ────────────────────────▶ dispatcher            idle: it does the worker's step for a small batch itself
//
// Waking a thread takes 10 to 50 us, most of what a single event would take from push to handler, and by way of the worker it
// would be two in a row. So an idle dispatcher *watches* the inbox: of both that sleep, a small batch wakes it alone; it takes
// the turn, does the step, passes the turn on and goes to the handlers with what it found. While it is there, nobody is
// woken for a little more: nothing can go out before it comes back, and then it looks. The worker is woken by a large batch,
// or when many wait, so that it works while the handlers do.
//
//   turn       who has it reads the ring (as its one reader) and does the steps; one thread at a time
//   deputy     the one who watches (the dispatcher) is WATCHING, or at the HANDLERS and will watch again, or AWAY
//
// Who is woken for a published slot (I4 of ring.hpp):
//     somebody has the turn                          nobody: he passes it on, and *then* looks at the ring again
//     small, and the deputy is watching              the deputy (if it sleeps)
//     small, it is at the handlers, few slots wait   nobody
//     else                                           the worker (if it sleeps)
// The slot is shown before turn and deputy are read; they are written before the ring is looked at, all seq_cst: so one of the
// two sees the other. A deputy that goes away (a handler waits for room in the ring, or the end) looks at the ring, and
// wakes the worker if there is something.
#pragma once

#include "bell.hpp"

#include <atomic>

namespace tocsin {

class Relay {
  public:
    enum Deputy { AWAY, WATCHING, HANDLERS };

    // Before the ring is used. `bell`: where the deputy sleeps. `few`: so many slots may wait while it is at the handlers.
    void begin(Bell &bell, int64_t few) noexcept {
        bell_ = &bell;
        few_ = few;
    }
    bool shared() const noexcept { return bell_ != nullptr; }

    bool try_take() noexcept {
        return !taken_.load(std::memory_order_relaxed) && !taken_.exchange(true, std::memory_order_seq_cst);
    }
    void pass() noexcept { taken_.store(false, std::memory_order_seq_cst); }

    void deputy(Deputy is) noexcept { deputy_.store(is, std::memory_order_seq_cst); }

    // Whose bell is to be rung for a slot that was shown, or NULL. `own`: the reader's; waiting: how many slots wait.
    template <class Waiting> Bell *whom(Bell &own, bool small, Waiting waiting) noexcept {
        if (bell_ == nullptr)
            return &own;
        if (taken_.load(std::memory_order_seq_cst))
            return nullptr;
        const int deputy = small ? deputy_.load(std::memory_order_seq_cst) : AWAY;
        if (deputy == HANDLERS && waiting() <= few_)
            return nullptr;
        return deputy == WATCHING ? bell_ : &own;
    }

  private:
    Bell *bell_ = nullptr;
    int64_t few_ = 0;
    alignas(CACHE_LINE) std::atomic<bool> taken_{false};
    std::atomic<int> deputy_{AWAY};
};

} // namespace tocsin
