// Stress of engine_core/ring.hpp alone: N producers, M readers, sums checked; also under ThreadSanitizer.
//
//   ring_stress PRODUCERS READERS CAPACITY MILLISECONDS
//
// Every round starts a fresh ring (with one of the three wait strategies), lets the producers push for a few milliseconds
// (claims of 1 to 4 slots, waiting, timed and not waiting), closes it from a further thread while they push, and then checks.
// Each slot carries its producer, that producer's running number and a check word made of both.
//
// Forbidden outcomes (each ends the program with code 1 and a line that names it):
//   F1  torn      a reader sees a slot whose check word does not fit its other fields
//   F2  order     a reader sees a producer's numbers otherwise than 0, 1, 2, ... (lost, doubled or swapped)
//   F3  lost      a claim succeeded and some reader never saw the slot
//   F4  invented  a reader saw a slot more than was published
//   F5  late      a claim succeeded after one had been refused as closed (by the same producer)
//   F6  overrun   more slots between claim and slowest reader than the ring has
//   F7  disagree  two readers' sums differ, or one differs from the producers'
//   F8  recycled  (every other round recycles) a batch was let go twice, never, or before a reader had passed it
//   F9  hang      a round takes longer than a minute (the alarm)
#include "ring.hpp"
#include "stress.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <unistd.h>
#endif

using namespace tocsin;

static uint64_t check_word(uint64_t producer, uint64_t number) {
    uint64_t x = producer * 0x9e3779b97f4a7c15u + number + 1;
    x ^= x >> 31;
    x *= 0xbf58476d1ce4e5b9u;
    return x ^ (x >> 29);
}

struct Tally {
    uint64_t count = 0;
    uint64_t sum = 0;
};

// One per slot of a round's pushes: 0 made, 1 let go. A reader that finds 1 was overtaken by the recycling.
struct Item {
    std::atomic<int> gone{0};
};

static std::atomic<uint64_t> made{0}, let_go{0};

static void recycle(void *batch) {
    Item *item = static_cast<Item *>(batch);
    if (item->gone.exchange(1) != 0)
        forbidden("F8 recycled twice", 0, 0);
    let_go++;
    delete item;
}

static void produce(Ring *ring, int producer, uint64_t seed, bool items, Tally *tally) {
    uint64_t number = 0, dice = seed * 2654435761u + 88172645463325252u;
    bool refused = false;
    for (int after_close = 0; after_close < 3;) {
        dice ^= dice << 13, dice ^= dice >> 7, dice ^= dice << 17;
        int64_t n = 1 + static_cast<int64_t>(dice % 4);
        if (n > ring->capacity())
            n = ring->capacity();
        const int how = static_cast<int>((dice >> 8) % 3);
        const int64_t first = how == 0 ? ring->try_claim(n) : ring->claim(n, how == 1 ? 20000 : -1);
        if (first == RING_CLOSED) {
            refused = true;
            after_close++;
            continue;
        }
        if (first == RING_FULL) {
            if (how == 2)
                forbidden("F9 hang: an untimed claim returned full", producer, n);
            std::this_thread::yield();
            continue;
        }
        if (refused)
            forbidden("F5 late", producer, static_cast<long>(first));
        for (int64_t i = 0; i < n; i++) {
            Slot *slot = ring->at(first + i);
            const uint64_t word = check_word(static_cast<uint64_t>(producer), number);
            slot->kind = 1;
            slot->id = producer;
            slot->base = static_cast<int64_t>(number);
            slot->ticket = first + i;
            slot->last = static_cast<int64_t>(word);
            slot->batch = items ? new Item : nullptr;
            made += items;
            tally->sum += word;
            tally->count++;
            number++;
            ring->publish(first + i);
        }
    }
}

static void consume(Ring *ring, int reader, int producers, Tally *tally) {
    std::vector<uint64_t> next(static_cast<std::size_t>(producers), 0);
    int64_t sequence = 0;
    for (uint64_t turn = 0;; turn++) {
        int64_t n = ring->wait(reader, (turn + static_cast<uint64_t>(reader)) % 3 == 0 ? 50000 : -1);
        if (n == RING_CLOSED)
            return;
        if (turn % 64 == 63) // now and then a slow reader, so that the ring runs full
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        if (n > 3 && turn % 2 == 0)
            n = n / 2; // passing on less than there is must do too
        // Our own position stands still here, so nobody may have claimed a lap beyond it.
        const int64_t claimed = ring->claimed();
        if (claimed - sequence > ring->capacity())
            forbidden("F6 overrun", static_cast<long>(claimed), static_cast<long>(sequence));
        for (int64_t i = 0; i < n; i++, sequence++) {
            Message message;
            ring->enter(reader, &message);
            const Message *slot = &message;
            const uint64_t number = static_cast<uint64_t>(slot->base);
            const uint64_t word = check_word(static_cast<uint64_t>(slot->id), number);
            if (slot->kind != 1 || slot->id < 0 || slot->id >= producers || slot->ticket != sequence ||
                static_cast<uint64_t>(slot->last) != word)
                forbidden("F1 torn", slot->id, static_cast<long>(sequence));
            if (slot->batch != nullptr && static_cast<Item *>(slot->batch)->gone.load() != 0)
                forbidden("F8 recycled too early", slot->id, static_cast<long>(sequence));
            if (number != next[static_cast<std::size_t>(slot->id)]++)
                forbidden("F2 order", slot->id, static_cast<long>(number));
            tally->sum += word;
            tally->count++;
            ring->advance(reader, 1);
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: ring_stress PRODUCERS READERS CAPACITY MILLISECONDS\n");
        return 2;
    }
    const int producers = std::atoi(argv[1]), readers = std::atoi(argv[2]);
    const int64_t capacity = std::atoll(argv[3]);
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(std::atoi(argv[4]));
    uint64_t rounds = 0, total = 0;
    do {
#if !defined(_WIN32)
        alarm(60); // F9: SIGALRM ends the program
#endif
        // Few spins, so that sleeping and waking are what is tested; every other strategy in turn.
        const int waiting = rounds % 5 == 4 ? RING_SPIN : rounds % 5 == 3 ? RING_YIELD : RING_BLOCK;
        Ring *ring = Ring::make(capacity, producers > 1, rounds % 2 ? 50 : 0, rounds & 2 ? recycle : nullptr, waiting);
        made = let_go = 0;
        if (ring == nullptr)
            return 2;
        std::vector<Tally> pushed(static_cast<std::size_t>(producers)), seen(static_cast<std::size_t>(readers));
        std::vector<std::thread> threads;
        for (int r = 0; r < readers; r++)
            if (ring->join() != r)
                return 2;
        for (int r = 0; r < readers; r++)
            threads.emplace_back(consume, ring, r, producers, &seen[static_cast<std::size_t>(r)]);
        for (int p = 0; p < producers; p++)
            threads.emplace_back(produce, ring, p, rounds * 131 + static_cast<uint64_t>(p),
                                 (rounds & 2) != 0, &pushed[static_cast<std::size_t>(p)]);
        std::this_thread::sleep_for(std::chrono::milliseconds(1 + rounds % 20));
        ring->close();
        for (auto &thread : threads)
            thread.join();
        Tally all;
        for (const Tally &t : pushed)
            all.count += t.count, all.sum += t.sum;
        for (const Tally &t : seen) {
            if (t.count < all.count)
                forbidden("F3 lost", static_cast<long>(t.count), static_cast<long>(all.count));
            if (t.count > all.count)
                forbidden("F4 invented", static_cast<long>(t.count), static_cast<long>(all.count));
            if (t.sum != all.sum)
                forbidden("F7 disagree", static_cast<long>(t.sum), static_cast<long>(all.sum));
        }
        ring->reclaim();
        if (made != let_go)
            forbidden("F8 recycled never", static_cast<long>(made), static_cast<long>(let_go));
        total += all.count;
        Ring::destroy(ring);
        rounds++;
    } while (std::chrono::steady_clock::now() < until);
    std::printf("ok rounds=%llu slots=%llu\n", static_cast<unsigned long long>(rounds),
                static_cast<unsigned long long>(total));
    return 0;
}
