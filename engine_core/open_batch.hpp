// OpenBatch: a batch that already lies in the ring, and that small pushes may still join until a reader gets there.
//
// Small pushes of one stream are gathered into one batch without a timer (smart batching): a push that finds its readers
// idle is a batch of its own and goes at once. One that finds them busy claims a slot, publishes it, and keeps the batch
// in it *open*; the pushes after it append their rows there, as long as no reader has come so far. So no event ever
// waits for another one, a busy worker finds batches instead of single rows, and a worker that falls asleep cannot leave an
// event behind: every event lies in a published slot from the start.
//
// Who closes: the first reader that enters the slot (Ring::enter), or whoever drops the batch; by one atomic exchange on
// `state`, so all readers see the same rows. A pusher that finds its batch closed opens another one in a new slot.
//
//      state    0 ──append──▶ WRITING ──done──▶ 0 ──close──▶ CLOSED ──finish──▶ CLOSED|SEALED
//                                └──close──▶ WRITING|CLOSED ──done──▶ CLOSED ─┘
//
//   WRITING   a pusher copies rows in. It has the stream's lock (one pusher at a time), has checked its rows before, takes
//             no lock and calls no Python in between: a closer waits for it, for the time of a copy of a few rows.
//   CLOSED    no append begins any more. The one whose exchange set the bit finishes the batch ...
//   SEALED    ... and says so; other readers wait for that, again for no longer than it takes to move some pointers.
//
// Order: a row may only join a batch if nothing has gone into the ring since that must stay before it. What the stream
// itself puts in (a larger batch, a watermark) makes its intake forget the open batch. What others put in (triggers that come
// and go, barriers) raises the ring's epoch after the claim of its slot (Ring::fence); the batch remembers the epoch that
// was read before the claim of its own slot, and a pusher appends only while that is the current one. The streams among
// themselves have no order that anybody could rely on: events of one may pass those of another by one open batch.
//
// Ownership: counted references, one of the stream's intake and one of the slot. The rows' memory belongs to `content`
// (open_batch.pyx), and from `finish` on to the batch in the slot, which is made beforehand so that finish cannot fail.
#pragma once

#include <atomic>
#include <cstdint>
#include <new>
#include <thread>

#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__)
#include <immintrin.h>
#endif

namespace tocsin {

inline void spin_pause() noexcept {
#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
    asm volatile("yield");
#endif
}

class OpenBatch {
  public:
    using Work = void (*)(void *content, int64_t rows);

    // `finish` makes the batch of `rows` rows, `destroy` frees the content; both run once, on any thread. NULL: no memory.
    static OpenBatch *make(void *content, Work finish, Work destroy, int64_t rows, int64_t time) noexcept {
        return new (std::nothrow) OpenBatch(content, finish, destroy, rows, time);
    }
    OpenBatch(const OpenBatch &) = delete;
    OpenBatch &operator=(const OpenBatch &) = delete;

    void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            destroy_(content_, rows_);
            delete this;
        }
    }

    // The pusher: false if the batch is closed; else append to `content`, then end_append, soon.
    bool begin_append() noexcept {
        int64_t open = 0;
        return state_.compare_exchange_strong(open, WRITING, std::memory_order_acquire, std::memory_order_relaxed);
    }
    // `rows` have come (0: it did not work out); `time`: the watermark after them.
    void end_append(int64_t rows, int64_t time) noexcept {
        rows_ += rows;
        time_ = time;
        state_.fetch_and(~WRITING, std::memory_order_release);
    }
    void *content() const noexcept { return content_; }

    // A reader: afterwards rows() and time() stand still and the batch is made, whoever closed it.
    void close() noexcept {
        const int64_t before = state_.fetch_or(CLOSED, std::memory_order_acq_rel);
        if (before & SEALED)
            return;
        if (before & CLOSED) {
            await([&] { return (state_.load(std::memory_order_acquire) & SEALED) != 0; });
            return;
        }
        await([&] { return (state_.load(std::memory_order_acquire) & WRITING) == 0; });
        finish_(content_, rows_);
        state_.fetch_or(SEALED, std::memory_order_release);
    }

    // For the pusher, and for whoever has closed it.
    int64_t rows() const noexcept { return rows_; }
    int64_t time() const noexcept { return time_; }

  private:
    static constexpr int64_t WRITING = 1, CLOSED = 2, SEALED = 4;

    OpenBatch(void *content, Work finish, Work destroy, int64_t rows, int64_t time) noexcept
        : content_(content), finish_(finish), destroy_(destroy), rows_(rows), time_(time) {}
    ~OpenBatch() = default;

    template <class Done> static void await(Done done) noexcept {
        for (int look = 0; !done(); look++) {
            if (look < 64)
                spin_pause();
            else
                std::this_thread::yield(); // the other one has lost its processor
        }
    }

    std::atomic<int64_t> state_{0};
    std::atomic<int64_t> references_{1};
    void *content_;
    Work finish_;
    Work destroy_;
    int64_t rows_; // this and time_: written while WRITING, read by the writer or after CLOSED without WRITING
    int64_t time_;
};

} // namespace tocsin
