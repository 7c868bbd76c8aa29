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
//   enter      a reader opens the slot at its position and gets a copy of what it says; before that the slot may change
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
//   I4  nobody sleeps through a wake-up (bell.hpp), and every published slot has a reader that is awake or was woken; of two
//       threads that take turns as one reader, one of them (relay.hpp).
//   I5  what a slot says is read through `enter` alone, once for each slot and reader, between wait and advance. An open
//       batch (open_batch.hpp) is closed there; and in a ring that drops, what a reader entered stays where it is.
//
// Waiting, as the Disruptor's strategies of these names: `block` spins shortly (20 us; less and less where that was in vain),
// then sleeps on a condition variable, so an idle ring uses no processor; `yield` spins, then gives its time slice away again
// and again; `spin` never gives it away. The last two use a processor for each thread that waits. With one processor, spin
// means yield (ring.pyx): whoever is waited for must run.
//
// Dropping, for producers that must never wait: in a ring made with `drops`, `displace` puts a message into a full ring by
// letting the oldest batch go that no reader has entered. What is published behind it moves down by one place, and the new
// message takes the last one. Slots that are claimed and not yet published are passed over: their producers are at work in
// them, so they have no order with what is published behind them, and may come before or after it. Only batches go
// (SLOT_DATA, SLOT_OPEN), and slots that say nothing; everything else moves down in its order. So that the watermark stays right, a batch with a
// time goes only if a later slot of its stream, or the new message, has a time too; else SLOT_ADVANCE takes its
// place, and the batch behind it goes as well (a later batch of the stream takes that slot's place in turn). If nothing
// can go (readers entered all, or every slot is the only one of its stream), the new message is the oldest batch that
// no reader has begun, and is dropped itself. `enter` and `displace` hold one mutex; within it nothing is released, so no
// other lock is taken. Cost: 48 bytes for each slot that moves; rings that do not drop pay nothing.
//
// Cost: claim and publish are one compare-and-swap and one exchange each; the gate is read from the readers only
// when the cached gate does not suffice, once per lap of a ring that keeps up. A reader takes all that is
// published with one wait (batching). The bells' mutexes are entered by sleepers and their wakers only.
//
// Recycling: a ring made with a `recycle` function calls it once for every batch that all readers have passed. A
// producer does so right after it has published the next one (or when it finds the ring full), a reader only when nothing
// has come for a millisecond: so memory goes back on the thread that allocated it while events flow, be it with gaps, and
// soon when they stop.
// PERF: a pyarrow batch of 8 columns costs 2.2 us to export and release on one thread, and 8 to 13 us when another
// thread releases it: malloc's arenas and the reference counts of the buffers go back and forth between the cores.
//
// Limits: capacity is a power of two <= 2^24; at most RING_READERS_MAX readers, which join before the first
// claim. What nobody read or recycled when the ring dies is its owner's to let go (see ring.pyx).
#pragma once

#include "bell.hpp"
#include "open_batch.hpp"
#include "relay.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>

#if defined(_WIN32)
#include <process.h>
#else
#include <unistd.h>
#endif

namespace tocsin {

constexpr int RING_READERS_MAX = 64;

// Outcomes of claim and wait (>= 0: a sequence, or a count of slots).
constexpr int64_t RING_FULL = -1;     // no room within the time given
constexpr int64_t RING_CLOSED = -2;   // closed (a reader: and everything published was read)
constexpr int64_t RING_TOO_MANY = -3; // more slots asked for in one claim than the ring has
constexpr int64_t RING_RELIEVE = -6;  // of watch: the caller has the turn to read the other ring
// Further outcomes of displace.
constexpr int64_t RING_DISPLACED = -4; // the message lies in the ring; `gone` does not any more
constexpr int64_t RING_DROPPED = -5;   // nothing could make way: the message itself is dropped

// How one waits.
constexpr int RING_BLOCK = 0;
constexpr int RING_YIELD = 1;
constexpr int RING_SPIN = 2;

// The kinds that the ring itself looks at; the others are its users' (ring.pxd).
constexpr int32_t SLOT_NOTHING = 0; // claimed, and then there was nothing to say
constexpr int32_t SLOT_DATA = 1;
constexpr int32_t SLOT_ADVANCE = 2;
constexpr int32_t SLOT_OPEN = 7; // `note` is an OpenBatch and `batch` what becomes of it; leaves `enter` as SLOT_DATA

constexpr int64_t TIME_NONE = INT64_MIN; // no watermark

struct Message {
    int16_t kind;   // what the slot says: see ring.pxd
    int16_t mark;   // 0, or IN_PLACE_OF_BATCH
    int32_t id;     // stream or trigger
    void *batch;    // one reference, passed on from hand to hand
    int64_t base;   // sequence (in its stream) of the batch's first row
    int64_t last;   // sequence of the last row that led to this slot
    int64_t time;   // in: watermark; out: when the push that led to it was accepted (histogram.hpp)
    void *note;     // fault, control or barrier record, or an OpenBatch (one reference)
    int64_t ticket; // in: when the push was accepted (histogram.hpp), or which barrier or change this is; out: free
};

struct alignas(CACHE_LINE) Slot : Message {
    std::atomic<int64_t> published;
};
static_assert(sizeof(Slot) == CACHE_LINE, "a slot is one cache line");

inline int64_t process_id() noexcept {
#if defined(_WIN32)
    return static_cast<int64_t>(_getpid());
#else
    return static_cast<int64_t>(getpid());
#endif
}

class Ring {
  public:
    // `spins`: how often a waiter looks again before it sleeps. NULL when there is no memory.
    // `recycle`: see above; NULL: readers take the payload over. `drops`: displace may be called; wants many_producers.
    static Ring *make(int64_t capacity, bool many_producers, int64_t spins, void (*recycle)(void *) = nullptr,
                      int waiting = RING_BLOCK, bool drops = false) noexcept {
        if (capacity < 1 || capacity > (int64_t{1} << 24) || (capacity & (capacity - 1)) != 0)
            return nullptr;
        Slot *slots = new (std::nothrow) Slot[static_cast<std::size_t>(capacity)];
        if (slots == nullptr)
            return nullptr;
        Ring *ring = new (std::nothrow) Ring(slots, capacity, many_producers, spins, recycle, waiting, drops);
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

    ~Ring() {
        delete[] slots_;
        std::free(counts_);
    }
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
        const int64_t first = take(n);
        if (first != RING_FULL || recycle_ == nullptr)
            return first;
        reclaim();
        return take(n);
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
        if (waiting_ != RING_BLOCK)
            return stay_awake([&] { return try_claim(n); }, RING_FULL, until, timeout_ns < 0);
        do {
            space_.sleep([&] { return closed() || claimed() + n - capacity_ <= slowest(); }, until, timeout_ns < 0);
            first = try_claim(n);
            // Another producer may have been quicker, or be recycling just now; then sleep again.
            if (first == RING_FULL)
                std::this_thread::yield();
        } while (first == RING_FULL && (timeout_ns < 0 || std::chrono::steady_clock::now() < until));
        return first;
    }

    // For a producer that has claimed `sequence`, and for whoever has the ring to itself; readers: see enter.
    Slot *at(int64_t sequence) noexcept { return &slots_[sequence & (capacity_ - 1)]; }

    // Whether a claimed slot has been published (with many producers; since then it may have been read and claimed again).
    bool published(int64_t sequence) noexcept {
        return at(sequence)->published.load(std::memory_order_seq_cst) >= sequence;
    }

    // Shows a filled slot. With one producer, in the order of the claims. `small`: see relay.hpp.
    void publish(int64_t sequence, bool small = true) noexcept {
        show(sequence);
        wake(small);
    }

    // publish in two steps: `wake` must follow soon, on any thread.
    void show(int64_t sequence) noexcept {
        if (many_producers_)
            at(sequence)->published.store(sequence, std::memory_order_seq_cst);
        else
            cursor_.store(sequence + 1, std::memory_order_seq_cst);
    }
    void wake(bool small = true) noexcept {
        if (Bell *bell = whom(small))
            bell->ring();
        reclaim(); // now that the readers are at work
    }

    // Whether `wake` just now would have to wake a reader: then it costs a system call and perhaps the processor.
    bool asleep(bool small = true) noexcept {
        const Bell *bell = whom(small);
        return bell != nullptr && bell->sleepers();
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
        return await(reader, [&] { return available(reader); }, *this, timeout_ns);
    }

    // Two threads take turns as one reader of this ring (relay.hpp): `outbox` is where the other one sleeps. Before the
    // first claim; only rings that block.
    void share(Ring &outbox) noexcept {
        if (waiting_ == RING_BLOCK)
            relay_.begin(outbox.data_, capacity_ / 2 < FEW ? capacity_ / 2 : FEW);
    }
    bool shared() const noexcept { return relay_.shared(); }

    // As wait, for ever, for the one of the two whose reader this is: with the turn, which `pass` ends.
    int64_t wait_turn(int reader) {
        return await(
            reader,
            [&] {
                if (available(reader) == 0 || !relay_.try_take())
                    return int64_t{0};
                const int64_t n = available(reader); // the other one may have moved on before
                if (n == 0)
                    relay_.pass();
                return n;
            },
            *this, -1);
    }

    // As wait, for the one whose own ring this is, and who watches `inbox` meanwhile: RING_RELIEVE when there is something
    // for `its_reader` and the turn was free; it is the caller's then, and `pass` ends it.
    int64_t watch(int reader, Ring &inbox, int its_reader, int64_t timeout_ns) {
        inbox.relay_.deputy(Relay::WATCHING);
        const int64_t n = await(
            reader,
            [&] {
                int64_t mine = available(reader);
                const int64_t theirs = mine == 0 ? inbox.available(its_reader) : 0;
                if (theirs == RING_CLOSED)
                    inbox.data_.ring(); // that is the other one's to see
                if (theirs <= 0 || !inbox.relay_.try_take())
                    return mine;
                // What the other one sent before it gave up its turn comes first.
                if ((mine = available(reader)) == 0 && inbox.available(its_reader) > 0)
                    return RING_RELIEVE;
                inbox.relay_.pass();
                return mine;
            },
            inbox, timeout_ns);
        if (n > 0)
            inbox.relay_.deputy(Relay::HANDLERS);
        else if (n != RING_RELIEVE)
            inbox.go_away(its_reader);
        return n;
    }

    // The turn ends; whoever has it calls wait_turn or watch afterwards, or one of the next two if it was `watch` that gave it.
    void pass() noexcept { relay_.pass(); }

    // The one who watches will be back soon.
    void go_handle() noexcept { relay_.deputy(Relay::HANDLERS); }

    // Nobody but the reader's own thread looks after this ring.
    void go_away(int reader) noexcept {
        relay_.deputy(Relay::AWAY);
        if (available(reader) != 0)
            data_.ring();
    }

    // A copy of what the slot at the reader's position says (I5). Call it once for each slot that wait or available told
    // of, before advance. The batch is the ring's as long as the reader has not passed the slot (if the ring recycles).
    void enter(int reader, Message *out) noexcept {
        enter_at(readers_[reader].position.load(std::memory_order_relaxed), out);
    }

    // The same for a slot that lies ahead of the reader's position, and is available to it.
    void enter_at(int64_t sequence, Message *out) noexcept {
        if (drops_) {
            std::lock_guard<std::mutex> lock(displacing_);
            entered_ = entered_ > sequence ? entered_ : sequence + 1;
            *out = *at(sequence);
        } else {
            *out = *at(sequence);
        }
        if (out->kind == SLOT_OPEN) {
            OpenBatch *open = static_cast<OpenBatch *>(out->note);
            open->close();
            out->kind = SLOT_DATA;
            out->note = nullptr;
            out->last = out->base + open->rows() - 1;
            out->time = open->time();
        }
    }

    // Whether every reader has passed all that lies before `sequence`: who reads it finds nothing else to do.
    bool idle(int64_t sequence) const noexcept { return slowest() == sequence; }

    // A thing after which no event may join a batch from before: control, barrier. See open_batch.hpp. The caller has
    // claimed its slot already.
    void fence() noexcept { epoch_.fetch_add(1, std::memory_order_seq_cst); }
    int64_t epoch() const noexcept { return epoch_.load(std::memory_order_seq_cst); }

    // In a ring that drops: room for `message`, without waiting. Returns a claimed sequence, to be filled and published as
    // after try_claim; or RING_DISPLACED: the message lies in the ring, and `gone` is what went for it (the caller lets it
    // go; `gone_too`, if its batch is not NULL, is a second one); RING_DROPPED: the message is still the caller's; or
    // RING_CLOSED.
    int64_t displace(const Message &message, Message *gone, Message *gone_too) noexcept {
        gone->batch = gone_too->batch = nullptr;
        const int64_t claimed = try_claim(1); // recycles: not under the mutex
        if (claimed != RING_FULL)
            return claimed;
        std::lock_guard<std::mutex> lock(displacing_);
        const int64_t again = take(1);
        if (again != RING_FULL)
            return again;
        const int64_t stop = this->claimed();
        int64_t lonely = -1; // the first batch that only can go if its watermark stays
        int64_t victim = entered_;
        for (; victim < stop; victim++) {
            const Message *slot = at(victim);
            if (!published(victim))
                continue;
            if (slot->kind == SLOT_ADVANCE && slot->mark == IN_PLACE_OF_BATCH && slot->id == message.id)
                break; // the new message says it again
            if (slot->kind == SLOT_NOTHING)
                break;
            if (slot->kind != SLOT_DATA && slot->kind != SLOT_OPEN)
                continue;
            if (slot->time == TIME_NONE || slot->id == message.id || told_later(victim, stop))
                break;
            lonely = lonely < 0 ? victim : lonely;
        }
        if (victim >= stop) {
            count(message);
            return RING_DROPPED;
        }
        if (at(victim)->kind == SLOT_DATA || at(victim)->kind == SLOT_OPEN) {
            drop(*at(victim), gone);
            if (lonely >= 0) {
                Message *slot = at(lonely);
                drop(*slot, gone_too);
                slot->kind = SLOT_ADVANCE;
                slot->batch = slot->note = nullptr;
                slot->base = slot->last = gone_too->last + 1;
                slot->time = gone_too->time;
                slot->mark = IN_PLACE_OF_BATCH;
            }
        }
        int64_t hole = victim;
        for (int64_t s = victim + 1; s < stop; s++) {
            if (!published(s))
                continue;
            static_cast<Message &>(*at(hole)) = *at(s);
            hole = s;
        }
        static_cast<Message &>(*at(hole)) = message;
        return RING_DISPLACED;
    }

    // Room for the counts of stream `id`; before its first message. False: no memory.
    bool count_for(int32_t id) noexcept {
        std::lock_guard<std::mutex> lock(displacing_);
        if (id < n_counts_)
            return true;
        void *grown = std::realloc(counts_, static_cast<std::size_t>(id + 1) * sizeof(Dropped));
        if (grown == nullptr)
            return false;
        counts_ = static_cast<Dropped *>(grown);
        for (; n_counts_ <= id; n_counts_++)
            counts_[n_counts_] = Dropped{0, 0};
        return true;
    }

    struct Dropped {
        int64_t batches;
        int64_t events;
    };
    Dropped dropped(int32_t id) noexcept {
        std::lock_guard<std::mutex> lock(displacing_);
        return id < n_counts_ ? counts_[id] : Dropped{0, 0};
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
                if (slot->kind == SLOT_OPEN)
                    static_cast<OpenBatch *>(slot->note)->release();
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
    static constexpr int PATIENCE_MIN = 4; // a sixteenth of the spins is left
    static constexpr auto SOON = std::chrono::microseconds(40);
    static constexpr int64_t FEW = 16; // slots that may wait while the dispatcher is at the handlers
    static constexpr int64_t LEAVE_NS = 1'000'000; // how long a reader leaves it to the next publish to recycle
    struct alignas(CACHE_LINE) Reader {
        std::atomic<int64_t> position{0};
        int64_t patience = 0; // of its own thread: how often the time that it spins was halved
    };

    // The ticket of a SLOT_ADVANCE that stands for a batch that was dropped.
    static constexpr int64_t IN_PLACE_OF_BATCH = -1;

    Ring(Slot *slots, int64_t capacity, bool many_producers, int64_t spins, void (*recycle)(void *), int waiting,
         bool drops) noexcept
        : slots_(slots), capacity_(capacity), spins_(spins), owner_(process_id()), recycle_(recycle),
          waiting_(waiting), many_producers_(many_producers), drops_(drops) {
        for (int64_t i = 0; i < capacity; i++) {
            slots_[i].kind = slots_[i].mark = 0;
            slots_[i].id = 0;
            slots_[i].batch = nullptr;
            slots_[i].base = slots_[i].last = slots_[i].time = slots_[i].ticket = 0;
            slots_[i].note = nullptr;
            slots_[i].published.store(-1, std::memory_order_relaxed);
        }
    }

    // try_claim without recycling.
    int64_t take(int64_t n) noexcept {
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

    Bell *whom(bool small) noexcept {
        return relay_.whom(data_, small, [&] { return claimed() - slowest(); });
    }

    // Calls `look` until it says something else than 0, and waits in between as wait says. `inbox`: what is to be recycled when
    // nothing comes.
    template <class Look> int64_t await(int reader, Look look, Ring &inbox, int64_t timeout_ns) {
        int64_t n = look();
        if (n != 0 || timeout_ns == 0)
            return n;
        int64_t &patience = readers_[reader].patience;
        // PERF: looking less and less often leaves the producer's cache lines alone while it fills the next slot.
        for (int64_t i = 0, pauses = 1; i < spins_ >> patience; i += pauses) {
            for (int64_t k = 0; k < pauses; k++)
                spin_pause();
            if ((n = look()) != 0) {
                patience = 0;
                return n;
            }
            // Once: whoever woke us may have lost this processor to us. Not more often: who gives way is not woken.
            if (pauses == 16)
                std::this_thread::yield();
            pauses = pauses < 32 ? 2 * pauses : pauses;
        }
        // PERF: where things come too seldom for it, spinning only takes the processor from those who bring them.
        patience = patience < PATIENCE_MIN ? patience + 1 : patience;
        const auto begun = std::chrono::steady_clock::now();
        n = stay_long(look, inbox, timeout_ns);
        if (std::chrono::steady_clock::now() - begun < SOON)
            patience = 0; // it came just after
        return n;
    }

    template <class Look> int64_t stay_long(Look look, Ring &inbox, int64_t timeout_ns) {
        int64_t n = 0;
        const auto until = deadline(timeout_ns);
        if (inbox.recycle_ != nullptr && inbox.reclaimed() < inbox.slowest()) {
            auto pause = deadline(LEAVE_NS);
            pause = timeout_ns >= 0 && until < pause ? until : pause;
            if ((n = stay(look, pause, false)) != 0)
                return n;
            inbox.reclaim();
        }
        return stay(look, until, timeout_ns < 0);
    }

    // Waits in the ring's own way for something to read.
    template <class Look> int64_t stay(Look look, std::chrono::steady_clock::time_point until, bool forever) {
        if (waiting_ != RING_BLOCK)
            return stay_awake(look, 0, until, forever);
        int64_t n = 0;
        data_.sleep([&] { return (n = look()) != 0; }, until, forever);
        return n != 0 ? n : look();
    }

    // Looks again and again, as yield and spin do, until `look` has something else to say than `nothing`.
    template <class Look>
    int64_t stay_awake(Look look, int64_t nothing, std::chrono::steady_clock::time_point until, bool forever) {
        for (unsigned turn = 1;; turn++) {
            const int64_t found = look();
            // The clock costs as much as two or three pauses; a time slice that was given away may be long.
            const bool look_up = waiting_ == RING_YIELD || turn % 64 == 0;
            if (found != nothing || (!forever && look_up && std::chrono::steady_clock::now() >= until))
                return found;
            if (waiting_ == RING_YIELD)
                std::this_thread::yield();
            else
                spin_pause();
        }
    }

    // Whether a slot behind `sequence` tells its stream's watermark again. Under the mutex.
    bool told_later(int64_t sequence, int64_t stop) noexcept {
        const int32_t id = at(sequence)->id;
        for (int64_t s = sequence + 1; s < stop; s++) {
            const Message *slot = at(s);
            if (published(s) && slot->id == id && (slot->kind == SLOT_DATA || slot->kind == SLOT_OPEN || slot->kind == SLOT_ADVANCE))
                return true;
        }
        return false;
    }

    // Takes the batch out of a slot that nobody entered, and counts it. Under the mutex.
    void drop(const Message &slot, Message *gone) noexcept {
        *gone = slot;
        if (slot.kind == SLOT_OPEN) {
            OpenBatch *open = static_cast<OpenBatch *>(slot.note);
            open->close(); // nothing more joins it
            gone->last = slot.base + open->rows() - 1;
            gone->time = open->time();
        }
        count(*gone);
    }

    void count(const Message &gone) noexcept {
        if (gone.id < n_counts_) {
            counts_[gone.id].batches++;
            counts_[gone.id].events += gone.last - gone.base + 1;
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
    int waiting_;
    int n_readers_ = 0;
    bool many_producers_;
    bool drops_;

    alignas(CACHE_LINE) std::atomic<int64_t> claimed_{0};
    alignas(CACHE_LINE) std::atomic<int64_t> cursor_{0};
    alignas(CACHE_LINE) std::atomic<int64_t> cached_gate_{0};
    alignas(CACHE_LINE) std::atomic<int64_t> reclaimed_{0};
    std::atomic<bool> recycling_{false};
    alignas(CACHE_LINE) std::atomic<int64_t> epoch_{0};
    alignas(CACHE_LINE) std::mutex displacing_; // rings that drop: the next four, and slots that nobody entered
    int64_t entered_ = 0;                       // the highest sequence that a reader has entered, plus one
    Dropped *counts_ = nullptr;                 // by stream
    int32_t n_counts_ = 0;
    Relay relay_;
    Bell data_;
    Bell space_;
    Reader readers_[RING_READERS_MAX];
};

} // namespace tocsin
