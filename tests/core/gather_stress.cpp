// Stress of gathering and dropping (engine_core/open_batch.hpp, ring.hpp: enter, fence, displace) without Python; also
// under ThreadSanitizer: the rows are plain memory, so an append beside a reader is a race that it reports.
//
//   gather_stress PRODUCERS READERS CAPACITY MILLISECONDS
//
// Each producer is a stream. It pushes single events and a few at once, which join its open batch where they can, now
// and then a large batch, a watermark, a slot that says nothing, or a control message that all events pushed after it, by whomever, must follow. Every
// second pair of rounds the ring drops, and readers are slow. A row carries its number and how many controls were complete
// before it was pushed.
//
// Forbidden outcomes (each ends the program with code 1 and a line that names it):
//   G1  order     a reader sees a stream's numbers otherwise than 0, 1, 2, ... (a ring that drops: not ascending)
//   G2  fence     a reader sees an event before a control that was complete when the event was pushed
//   G3  disagree  two readers see different rows, or cut into batches differently
//   G4  lost      rows pushed are neither seen nor counted as dropped (or both)
//   G5  time      a stream's watermark falls; or the last one is never told, and its producer does not know
//   G6  memory    a batch was let go twice or never
//   G7  kept      a control message was dropped
//   G8  hang      a round takes longer than a minute (the alarm); an untimed claim returned full
#include "ring.hpp"
#include "stress.hpp"

#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <unistd.h>
#endif

using namespace tocsin;

static constexpr int32_t CONTROL = 4;
static constexpr int64_t GATHER = 24;

struct Row {
    int64_t number;
    int64_t controls;
};

static std::atomic<int64_t> made{0}, let_go{0};

struct Batch {
    std::vector<Row> rows;
    std::atomic<int> gone{0};
    Batch() { made++; }
};

static void recycle(void *batch) {
    Batch *b = static_cast<Batch *>(batch);
    if (b->gone.exchange(1) != 0)
        forbidden("G6 let go twice", 0, 0);
    let_go++;
    delete b;
}

struct Content {
    std::vector<Row> rows;
    Batch *batch;
};

static void finish(void *content, int64_t rows) {
    Content *c = static_cast<Content *>(content);
    if (static_cast<int64_t>(c->rows.size()) != rows)
        forbidden("G4 rows of an open batch", static_cast<int64_t>(c->rows.size()), rows);
    c->batch->rows.swap(c->rows);
}

static void destroy(void *content, int64_t) { delete static_cast<Content *>(content); }

static void let(Message *gone) {
    if (gone->batch == nullptr)
        return;
    if (gone->kind == SLOT_OPEN)
        static_cast<OpenBatch *>(gone->note)->release();
    recycle(gone->batch);
}

struct Shared {
    Ring *ring;
    bool drops;
    std::atomic<int64_t> controls{0};      // complete ones
    std::atomic<int64_t> controls_sent{0}; // claimed ones
};

struct Producer {
    Shared *shared;
    int32_t id;
    uint64_t dice;
    int64_t next = 0, told = -1;
    bool owes = false;
    OpenBatch *open = nullptr;
    int64_t open_epoch = -1, joined = 0;

    uint64_t roll() {
        dice ^= dice << 13, dice ^= dice >> 7, dice ^= dice << 17;
        return dice;
    }
    void leave() {
        if (open != nullptr)
            open->release();
        open = nullptr;
    }
    int64_t claim() {
        Ring *ring = shared->ring;
        const int how = static_cast<int>(roll() % 3);
        for (;;) {
            const int64_t s = how == 0 ? ring->try_claim(1) : ring->claim(1, how == 1 ? 20000 : -1);
            if (s != RING_FULL)
                return s;
            if (how == 2)
                forbidden("G8 an untimed claim returned full", id, 0);
            std::this_thread::yield();
        }
    }
    // False: closed.
    bool send(Message m, int64_t claimed) {
        Ring *ring = shared->ring;
        Message gone, gone_too;
        m.id = id;
        if (claimed == RING_FULL) {
            claimed = ring->displace(m, &gone, &gone_too);
            let(&gone);
            let(&gone_too);
            if (claimed == RING_DISPLACED) {
                owes = false;
                return true;
            }
            if (claimed == RING_DROPPED || claimed == RING_CLOSED) {
                owes = claimed == RING_DROPPED || owes;
                leave();
                let(&m);
                return claimed == RING_DROPPED;
            }
        }
        owes = false;
        static_cast<Message &>(*ring->at(claimed)) = m;
        ring->publish(claimed);
        return true;
    }

    // False: closed, and nothing has changed.
    bool push(int64_t n, bool small) {
        Ring *ring = shared->ring;
        const int64_t stamp = shared->controls.load(); // first: what completes from here on need not be before us
        const int64_t epoch = ring->epoch();
        if (small && open != nullptr && open_epoch == epoch && open->rows() + n <= GATHER && open->begin_append()) {
            Content *c = static_cast<Content *>(open->content());
            for (int64_t i = 0; i < n; i++)
                c->rows.push_back({next++, stamp});
            told = next - 1;
            open->end_append(n, told);
            joined += n;
            return true;
        }
        const int64_t s = shared->drops ? ring->try_claim(1) : claim();
        if (s == RING_CLOSED)
            return false;
        const bool opens = small && !(s >= 0 && ring->idle(s));
        Message m{};
        Batch *batch = new Batch;
        std::vector<Row> rows;
        m.base = next;
        for (int64_t i = 0; i < n; i++)
            rows.push_back({next++, stamp});
        m.kind = SLOT_DATA;
        m.batch = batch;
        m.last = next - 1;
        m.time = told = next - 1;
        leave();
        if (opens) {
            open = OpenBatch::make(new Content{std::move(rows), batch}, finish, destroy, n, told);
            open->retain();
            open_epoch = epoch;
            m.kind = SLOT_OPEN;
            m.note = open;
        } else {
            batch->rows = std::move(rows);
        }
        if (!send(m, s)) { // closed between the two
            next = m.base;
            told = next - 1;
            return false;
        }
        return true;
    }
    bool advance() {
        const int64_t s = claim();
        if (s == RING_CLOSED)
            return false;
        leave();
        Message m{};
        m.kind = SLOT_ADVANCE;
        m.base = m.last = next;
        m.time = told;
        return send(m, s);
    }
    bool nothing() {
        const int64_t s = claim();
        if (s == RING_CLOSED)
            return false;
        static_cast<Message &>(*shared->ring->at(s)) = Message{};
        shared->ring->publish(s);
        return true;
    }
    bool control() {
        const int64_t s = claim();
        if (s == RING_CLOSED)
            return false;
        shared->controls_sent++;
        Message m{};
        m.kind = CONTROL;
        m.id = id;
        shared->ring->fence();
        static_cast<Message &>(*shared->ring->at(s)) = m;
        shared->ring->publish(s);
        shared->controls++;
        return true;
    }
    void run() {
        for (bool goes = true; goes;) {
            const uint64_t what = roll() % 64;
            if (what == 0)
                goes = push(GATHER + 5, false);
            else if (what == 1)
                goes = advance();
            else if (what == 2)
                goes = control();
            else if (what == 4)
                goes = nothing();
            else
                goes = push(1 + static_cast<int64_t>(roll() % 3), true);
            if (what == 3)
                std::this_thread::yield();
        }
        leave();
    }
};

struct Reader {
    Shared *shared;
    int number;
    std::vector<int64_t> next, time, rows;
    uint64_t hash = 0;
    int64_t controls = 0;

    void run() {
        Ring *ring = shared->ring;
        for (uint64_t turn = 0;; turn++) {
            const int64_t n = ring->wait(number, turn % 3 == 0 ? 50000 : -1);
            if (n == RING_CLOSED)
                return;
            if (turn % (shared->drops ? 4 : 64) == 3)
                std::this_thread::sleep_for(std::chrono::microseconds(200));
            for (int64_t i = 0; i < n; i++) {
                Message m;
                ring->enter(number, &m);
                see(m);
                ring->advance(number, 1);
            }
        }
    }
    void see(const Message &m) {
        const std::size_t id = static_cast<std::size_t>(m.id);
        if (m.kind == SLOT_NOTHING)
            return;
        if (m.kind == CONTROL) {
            controls++;
            return;
        }
        if (m.time < time[id])
            forbidden("G5 time falls", m.time, time[id]);
        time[id] = m.time;
        if (m.kind == SLOT_ADVANCE)
            return;
        const Batch *batch = static_cast<const Batch *>(m.batch);
        const int64_t size = static_cast<int64_t>(batch->rows.size());
        if (m.kind != SLOT_DATA || size != m.last - m.base + 1 || m.time != m.last)
            forbidden("G3 a message and its batch", size, m.last - m.base + 1);
        for (int64_t i = 0; i < size; i++) {
            const Row row = batch->rows[static_cast<std::size_t>(i)];
            if (row.number != m.base + i || (shared->drops ? row.number < next[id] : row.number != next[id]))
                forbidden("G1 order", row.number, next[id]);
            next[id] = row.number + 1;
            if (row.controls > controls)
                forbidden("G2 fence", row.controls, controls);
        }
        rows[id] += size;
        hash = hash * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(m.base * 64 + m.id + size * 7919);
    }
};

int main(int argc, char **argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: gather_stress PRODUCERS READERS CAPACITY MILLISECONDS\n");
        return 2;
    }
    const int producers = std::atoi(argv[1]), readers = std::atoi(argv[2]);
    const int64_t capacity = std::atoll(argv[3]);
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(std::atoi(argv[4]));
    int64_t rounds = 0, events = 0, joined = 0, dropped = 0;
    do {
#if !defined(_WIN32)
        alarm(60);
#endif
        Shared shared;
        shared.drops = (rounds & 2) != 0;
        const int waiting = rounds % 5 == 4 ? RING_SPIN : rounds % 5 == 3 ? RING_YIELD : RING_BLOCK;
        shared.ring = Ring::make(capacity, true, rounds % 2 ? 50 : 0, recycle, waiting, shared.drops);
        if (shared.ring == nullptr)
            return 2;
        made = let_go = 0;
        std::vector<Producer> pushing(static_cast<std::size_t>(producers));
        std::vector<Reader> reading(static_cast<std::size_t>(readers));
        std::vector<std::thread> threads;
        for (std::size_t p = 0; p < pushing.size(); p++) {
            pushing[p].shared = &shared;
            pushing[p].id = static_cast<int32_t>(p);
            pushing[p].dice = static_cast<uint64_t>(rounds * 131 + static_cast<int64_t>(p)) * 2654435761u + 88172645463325252u;
            if (!shared.ring->count_for(pushing[p].id))
                return 2;
        }
        for (std::size_t r = 0; r < reading.size(); r++) {
            reading[r].shared = &shared;
            reading[r].number = shared.ring->join();
            reading[r].next.assign(pushing.size(), 0);
            reading[r].rows.assign(pushing.size(), 0);
            reading[r].time.assign(pushing.size(), -1);
        }
        for (Reader &reader : reading)
            threads.emplace_back([&reader] { reader.run(); });
        for (Producer &producer : pushing)
            threads.emplace_back([&producer] { producer.run(); });
        std::this_thread::sleep_for(std::chrono::milliseconds(1 + rounds % 20));
        shared.ring->close();
        for (std::thread &thread : threads)
            thread.join();
        shared.ring->reclaim();
        for (const Reader &reader : reading) {
            if (reader.hash != reading[0].hash)
                forbidden("G3 disagree", reader.number, 0);
            if (reader.controls != shared.controls_sent)
                forbidden("G7 kept", reader.controls, shared.controls_sent);
            for (std::size_t p = 0; p < pushing.size(); p++) {
                const int64_t gone = shared.ring->dropped(pushing[p].id).events;
                if (reader.rows[p] + gone != pushing[p].next)
                    forbidden("G4 lost", reader.rows[p] + gone, pushing[p].next);
                if (reader.time[p] != pushing[p].told && !pushing[p].owes)
                    forbidden("G5 time never told", reader.time[p], pushing[p].told);
            }
        }
        for (const Producer &producer : pushing) {
            events += producer.next;
            joined += producer.joined;
            dropped += shared.ring->dropped(producer.id).events;
        }
        if (made != let_go)
            forbidden("G6 never let go", made, let_go);
        Ring::destroy(shared.ring);
        rounds++;
    } while (std::chrono::steady_clock::now() < until);
    std::printf("ok rounds=%ld events=%ld joined=%ld dropped=%ld\n", static_cast<long>(rounds), static_cast<long>(events),
                static_cast<long>(joined), static_cast<long>(dropped));
    return 0;
}
