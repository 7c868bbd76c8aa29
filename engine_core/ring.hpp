// Ring: a bounded ring of fixed slots that passes batches between threads without a lock per slot.
//
// After the LMAX Disruptor (M. Thompson, D. Farley, M. Barker, P. Gee, A. Stewart: "Disruptor: High performance
// alternative to bounded queues for exchanging data between concurrent threads", 2011): sequences instead of
// head and tail pointers, claim and publish apart, producers gated by the slowest reader.
//
// Words
//   sequence   the number of a slot's use, 0, 1, 2, ...; slot = sequence & (capacity - 1); never reused
//   claim      a producer takes the next n sequences for itself; nobody sees them yet
//   publish    the producer has filled a claimed slot and shows it to the readers
//   position   of a reader: the next sequence that it will read; every reader sees every slot
//   gate       the lowest position of all readers; a claim up to gate + capacity is safe
//   recycle    what all readers have passed is let go; with it, the gate is how far that has come
//
//        gate                position               claimed
//          v                    v                      v
//   ... [ read by all ][ read by some ][ published | claimed ][ free up to gate + capacity ]
//
// Layout: one slot is one cache line (64 bytes): 56 bytes of payload and the stamp `published`, which holds the
// sequence last published in the slot. What one side writes and another reads (claimed, cursor, cached gate, every
// reader's position, the waiter counts) has a cache line of its own.
//
// Invariants
//   I1  claimed - gate <= capacity: a slot is not written before every reader has passed its former use.
//   I2  a slot is read only after its publish (stamp == sequence; with one producer: sequence < cursor).
//   I3  a claim that succeeded is always read: closing sets a bit in `claimed` itself, so a claim either came
//       before the close (readers wait for its publish) or fails. A producer must publish what it claimed; one
//       that has nothing to say publishes a slot that says so.
//   I4  nobody sleeps through a wake-up: a sleeper counts itself, then looks again, then sleeps; a waker changes
//       the state, then looks at the count. All four are seq_cst, so one of the two sees the other. (Stand-alone
//       fences would do too, but ThreadSanitizer does not model them.)
//
// Cost: claim and publish are one compare-and-swap and one exchange each; the gate is read from the readers only
// when the cached gate does not suffice, once per lap of a ring that keeps up. A reader takes all that is
// published with one wait (batching). Waiting: a short spin, then sleep on a condition variable; an idle ring
// uses no processor. The mutexes are entered by sleepers and their wakers only.
//
// Recycling: a ring made with a `recycle` function calls it once for every batch that all readers have passed. A
// producer does so when it next claims, a reader only when it is about to sleep, so that memory goes back on the
// thread that allocated it while events flow, and at once when they stop.
// PERF: a pyarrow batch of 8 columns costs 2.2 us to export and release on one thread, and 8 to 13 us when another
// thread releases it: malloc's arenas and the reference counts of the buffers go back and forth between the cores.
//
// Limits: capacity is a power of two <= 2^24; at most RING_READERS_MAX readers, which join before the first
// claim. What nobody read or recycled when the ring dies is its owner's to let go (see ring.pyx).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <thread>

#if defined(_WIN32)
#include <process.h>
#else
#include <unistd.h>
#endif
#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__)
#include <immintrin.h>
#endif

namespace tocsin {

constexpr int RING_READERS_MAX = 64;
constexpr std::size_t CACHE_LINE = 64;

// Outcomes of claim and wait (>= 0: a sequence, or a count of slots).
constexpr int64_t RING_FULL = -1;     // no room within the time given
constexpr int64_t RING_CLOSED = -2;   // closed (a reader: and everything published was read)
constexpr int64_t RING_TOO_MANY = -3; // more slots asked for in one claim than the ring has

struct alignas(CACHE_LINE) Slot {
    int32_t kind;   // what the slot says: see ring.pxd
    int32_t id;     // stream or trigger
    void *batch;    // one reference, passed on from hand to hand
    int64_t base;   // sequence (in its stream) of the batch's first row
    int64_t last;   // sequence of the last row that led to this slot
    int64_t time;   // watermark
    void *note;     // fault, control or barrier record
    int64_t ticket; // free for the user
    std::atomic<int64_t> published;
};
static_assert(sizeof(Slot) == CACHE_LINE, "a slot is one cache line");

inline void spin_pause() noexcept {
#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
    asm volatile("yield");
#endif
}

inline int64_t process_id() noexcept {
#if defined(_WIN32)
    return static_cast<int64_t>(_getpid());
#else
    return static_cast<int64_t>(getpid());
#endif
}

// A place to sleep (I4). `Ready` is called again after the count went up and before every sleep.
class alignas(CACHE_LINE) Bell {
  public:
    template <class Ready> void sleep(Ready ready, std::chrono::steady_clock::time_point until, bool forever) {
        sleepers_.fetch_add(1, std::memory_order_seq_cst);
        {
            std::unique_lock<std::mutex> lock(mutex_);
            while (!ready()) {
                if (forever)
                    condition_.wait(lock);
                else if (condition_.wait_until(lock, until) == std::cv_status::timeout)
                    break;
            }
        }
        sleepers_.fetch_sub(1, std::memory_order_seq_cst);
    }
    void ring() noexcept {
        if (sleepers_.load(std::memory_order_seq_cst) == 0)
            return;
        // Taking the mutex puts the notify after the sleeper's last look: it is asleep by then, or has seen us.
        { std::lock_guard<std::mutex> lock(mutex_); }
        condition_.notify_all();
    }

  private:
    std::atomic<int64_t> sleepers_{0};
    std::mutex mutex_;
    std::condition_variable condition_;
};

class Ring {
  public:
    // `spins`: how often a waiter looks again before it sleeps. NULL when there is no memory.
    // `recycle`: see above; NULL: readers take the payload over.
    static Ring *make(int64_t capacity, bool many_producers, int64_t spins,
                      void (*recycle)(void *) = nullptr) noexcept {
        if (capacity < 1 || capacity > (int64_t{1} << 24) || (capacity & (capacity - 1)) != 0)
            return nullptr;
        Slot *slots = new (std::nothrow) Slot[static_cast<std::size_t>(capacity)];
        if (slots == nullptr)
            return nullptr;
        Ring *ring = new (std::nothrow) Ring(slots, capacity, many_producers, spins, recycle);
        if (ring == nullptr)
            delete[] slots;
        return ring;
    }

    // A forked child has the sleepers' counts but not the sleepers: destroying the condition would wait for
    // them for ever. There the memory is left to the end of the process.
    static void destroy(Ring *ring) noexcept {
        if (ring != nullptr && !ring->foreign())
            delete ring;
    }

    ~Ring() { delete[] slots_; }
    Ring(const Ring &) = delete;
    Ring &operator=(const Ring &) = delete;

    bool foreign() const noexcept { return owner_ != process_id(); }
    int64_t capacity() const noexcept { return capacity_; }
    bool closed() const noexcept { return (claimed_.load(std::memory_order_acquire) & CLOSED) != 0; }
    int64_t claimed() const noexcept { return claimed_.load(std::memory_order_acquire) & ~CLOSED; }
    int64_t position(int reader) const noexcept {
        return readers_[reader].position.load(std::memory_order_acquire);
    }

    // How far recycling has come: every batch below is let go.
    int64_t reclaimed() const noexcept { return reclaimed_.load(std::memory_order_acquire); }

    // Slots claimed and not yet passed by every reader; a figure to look at, already past when it is returned.
    int64_t depth() const noexcept {
        const int64_t gate = slowest(); // first, so that the difference is not below zero
        const int64_t n = claimed() - gate; // more than a lap: the readers went on between the two looks
        return n < capacity_ ? n : capacity_;
    }

    // A new reader, or -1 when there are too many. Before the first claim only.
    int join() noexcept {
        if (n_readers_ == RING_READERS_MAX)
            return -1;
        return n_readers_++;
    }

    int readers() const noexcept { return n_readers_; }

    // The first of `n` sequences, or RING_FULL, RING_CLOSED, RING_TOO_MANY. Never waits.
    int64_t try_claim(int64_t n) noexcept {
        if (n < 1 || n > capacity_)
            return RING_TOO_MANY;
        reclaim();
        int64_t first = claimed_.load(std::memory_order_seq_cst);
        for (;;) {
            if (first & CLOSED)
                return RING_CLOSED;
            const int64_t wrap = first + n - capacity_;
            if (wrap > cached_gate_.load(std::memory_order_acquire)) {
                const int64_t gate = recycle_ ? reclaimed_.load(std::memory_order_seq_cst) : slowest();
                // Release, and acquire above: whoever trusts the cached gate has seen the readers leave (I1).
                // Another producer may put a lower, older gate back: that costs a look, never a slot.
                cached_gate_.store(gate, std::memory_order_release);
                if (wrap > gate)
                    return RING_FULL;
            }
            // With one producer this swap races with close() only.
            if (claimed_.compare_exchange_weak(first, first + n, std::memory_order_seq_cst))
                return first;
        }
    }

    // As try_claim, but waits up to `timeout_ns` (below zero: for ever) for room.
    int64_t claim(int64_t n, int64_t timeout_ns) {
        int64_t first = try_claim(n);
        if (first != RING_FULL || timeout_ns == 0)
            return first;
        for (int64_t i = 0; i < spins_; i++) {
            spin_pause();
            if ((first = try_claim(n)) != RING_FULL)
                return first;
        }
        const auto until = deadline(timeout_ns);
        do {
            space_.sleep([&] { return closed() || claimed() + n - capacity_ <= slowest(); }, until, timeout_ns < 0);
            first = try_claim(n);
            // Another producer may have been quicker, or be recycling just now; then sleep again.
            if (first == RING_FULL)
                std::this_thread::yield();
        } while (first == RING_FULL && (timeout_ns < 0 || std::chrono::steady_clock::now() < until));
        return first;
    }

    Slot *at(int64_t sequence) noexcept { return &slots_[sequence & (capacity_ - 1)]; }

    // Whether a claimed slot has been published (with many producers; since then it may have been read and claimed again).
    bool published(int64_t sequence) noexcept {
        return at(sequence)->published.load(std::memory_order_seq_cst) >= sequence;
    }

    // Shows a filled slot. With one producer, in the order of the claims.
    void publish(int64_t sequence) noexcept {
        if (many_producers_)
            at(sequence)->published.store(sequence, std::memory_order_seq_cst);
        else
            cursor_.store(sequence + 1, std::memory_order_seq_cst);
        data_.ring();
    }

    // How many slots from the reader's position on are published: 0 for none, RING_CLOSED when none will come.
    int64_t available(int reader) noexcept {
        const int64_t from = readers_[reader].position.load(std::memory_order_relaxed); // ours alone
        if (!many_producers_) {
            const int64_t n = cursor_.load(std::memory_order_seq_cst) - from;
            if (n > 0)
                return n;
        } else {
            int64_t n = 0;
            while (n < capacity_ &&
                   slots_[(from + n) & (capacity_ - 1)].published.load(std::memory_order_seq_cst) == from + n)
                n++;
            if (n > 0)
                return n;
        }
        const int64_t claimed = claimed_.load(std::memory_order_seq_cst);
        return claimed == (from | CLOSED) ? RING_CLOSED : 0;
    }

    // As available, but waits up to `timeout_ns` (below zero: for ever).
    int64_t wait(int reader, int64_t timeout_ns) {
        int64_t n = available(reader);
        if (n != 0 || timeout_ns == 0)
            return n;
        // PERF: looking less and less often leaves the producer's cache lines alone while it fills the next slot.
        for (int64_t i = 0, pauses = 1; i < spins_; i += pauses) {
            for (int64_t k = 0; k < pauses; k++)
                spin_pause();
            if ((n = available(reader)) != 0)
                return n;
            pauses = pauses < 32 ? 2 * pauses : pauses;
        }
        reclaim();
        data_.sleep([&] { return available(reader) != 0; }, deadline(timeout_ns), timeout_ns < 0);
        return available(reader);
    }

    // The reader has done with `n` slots; producers may use them again when all readers have.
    void advance(int reader, int64_t n) noexcept {
        const int64_t from = readers_[reader].position.load(std::memory_order_relaxed);
        readers_[reader].position.store(from + n, std::memory_order_seq_cst);
        space_.ring();
    }

    // Lets go of what all readers have passed; nothing when another thread is at it. Runs the producers' release
    // functions, which may take locks of their own (the GIL): so nobody ever waits for this here.
    void reclaim() noexcept {
        if (recycle_ == nullptr)
            return;
        const int64_t gate = slowest();
        if (reclaimed_.load(std::memory_order_relaxed) >= gate || recycling_.exchange(true, std::memory_order_acquire))
            return;
        int64_t sequence = reclaimed_.load(std::memory_order_relaxed); // written under `recycling_` only
        for (; sequence < gate; sequence++) {
            Slot *slot = at(sequence);
            if (slot->batch != nullptr) {
                recycle_(slot->batch);
                slot->batch = nullptr;
            }
            reclaimed_.store(sequence + 1, std::memory_order_seq_cst);
        }
        recycling_.store(false, std::memory_order_release);
        space_.ring();
    }

    // No further claim succeeds; everybody wakes; what was claimed before is still published and read.
    void close() noexcept {
        claimed_.fetch_or(CLOSED, std::memory_order_seq_cst);
        data_.ring();
        space_.ring();
    }

  private:
    static constexpr int64_t CLOSED = int64_t{1} << 62;
    struct alignas(CACHE_LINE) Reader {
        std::atomic<int64_t> position{0};
    };

    Ring(Slot *slots, int64_t capacity, bool many_producers, int64_t spins, void (*recycle)(void *)) noexcept
        : slots_(slots), capacity_(capacity), spins_(spins), owner_(process_id()), recycle_(recycle),
          many_producers_(many_producers) {
        for (int64_t i = 0; i < capacity; i++) {
            slots_[i].kind = 0;
            slots_[i].id = 0;
            slots_[i].batch = nullptr;
            slots_[i].base = slots_[i].last = slots_[i].time = slots_[i].ticket = 0;
            slots_[i].note = nullptr;
            slots_[i].published.store(-1, std::memory_order_relaxed);
        }
    }

    int64_t slowest() const noexcept {
        if (n_readers_ == 0)
            return 0;
        int64_t lowest = readers_[0].position.load(std::memory_order_seq_cst);
        for (int i = 1; i < n_readers_; i++) {
            const int64_t p = readers_[i].position.load(std::memory_order_seq_cst);
            lowest = p < lowest ? p : lowest;
        }
        return lowest;
    }

    static std::chrono::steady_clock::time_point deadline(int64_t timeout_ns) {
        const auto now = std::chrono::steady_clock::now();
        return timeout_ns < 0 ? now : now + std::chrono::nanoseconds(timeout_ns);
    }

    // Read by all, written once.
    Slot *slots_;
    int64_t capacity_;
    int64_t spins_;
    int64_t owner_;
    void (*recycle_)(void *);
    int n_readers_ = 0;
    bool many_producers_;

    alignas(CACHE_LINE) std::atomic<int64_t> claimed_{0};
    alignas(CACHE_LINE) std::atomic<int64_t> cursor_{0};
    alignas(CACHE_LINE) std::atomic<int64_t> cached_gate_{0};
    alignas(CACHE_LINE) std::atomic<int64_t> reclaimed_{0};
    std::atomic<bool> recycling_{false};
    Bell data_;
    Bell space_;
    Reader readers_[RING_READERS_MAX];
};

} // namespace tocsin
