// Stress of two threads that take turns as one reader (engine_core/relay.hpp; ring.hpp: share, wait_turn, watch), without
// Python; also under ThreadSanitizer: what only the one who has the turn may touch is plain memory.
//
//   relay_stress PRODUCERS CAPACITY MILLISECONDS
//
// As in shard.pyx: a worker reads the inbox and passes each number on into the outbox; a dispatcher reads the outbox, watches
// the inbox meanwhile, and does the worker's step when it has the turn. Now and then it stays at the handlers for long, or waits
// in a handler for something that only the worker can bring about (a full ring), as a handler that pushes does. Producers
// push small and large batches at all paces, also slower than both fall asleep.
//
// Forbidden outcomes (each ends the program with code 1 and a line that names it):
//   R1  order    the dispatcher sees a producer's numbers otherwise than 0, 1, 2, ...
//   R2  turn     two threads have the turn at once
//   R3  lost     a number never arrives, or twice
//   R4  stuck    a slot stays unread although its producer waits for it and no handler runs (a lost wake-up), for 20 s
//   R5  hang     a round takes longer than a minute (the alarm)
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

static void pause_a_while(uint64_t r) {
    if (r % 64 == 0)
        std::this_thread::sleep_for(std::chrono::microseconds(r / 64 % 400)); // both fall asleep meanwhile
    else
        for (uint64_t i = 0; i < r % 48; i++)
            spin_pause();
}

struct Round {
    Ring *inbox;
    Ring *outbox;
    int inbox_reader;
    int outbox_reader;
    int64_t holder = 0;               // plain: only who has the turn touches it
    int64_t steps = 0;                // plain, too
    std::atomic<int64_t> answered{0}; // numbers that the dispatcher has seen
    std::vector<int64_t> next;        // by producer: the dispatcher's alone
};

// What a step gives: the worker sends it, the dispatcher keeps it.
static int32_t step(Round &round, int64_t who) {
    Message message;
    if (round.holder != 0)
        forbidden("R2 turn", round.holder, who);
    round.holder = who;
    round.inbox->enter(round.inbox_reader, &message);
    round.steps++;
    round.holder = 0;
    return message.kind == 1 ? message.id : -1;
}

static void handle(Round &round, int32_t producer, int64_t number) {
    if (round.next[static_cast<std::size_t>(producer)]++ != number)
        forbidden("R1 order", producer, number);
    round.answered.fetch_add(1, std::memory_order_release);
}

static void work(Round &round) {
    for (;;) {
        int64_t n = round.inbox->wait_turn(round.inbox_reader);
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = round.inbox->position(round.inbox_reader);
            const int64_t number = round.inbox->at(at)->base;
            const int32_t producer = step(round, 1);
            round.inbox->advance(round.inbox_reader, 1);
            if (producer < 0)
                continue;
            const int64_t slot = round.outbox->claim(1, -1);
            if (slot < 0)
                forbidden("R5 the outbox is closed", slot, 0);
            round.outbox->at(slot)->id = producer;
            round.outbox->at(slot)->base = number;
            round.outbox->publish(slot);
        }
        round.inbox->pass();
        if (n == RING_CLOSED)
            break;
    }
    round.outbox->close();
}

// What lies in the outbox.
static void take(Round &round, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const Slot *slot = round.outbox->at(round.outbox->position(round.outbox_reader));
        const int32_t producer = slot->id;
        const int64_t number = slot->base;
        round.outbox->advance(round.outbox_reader, 1);
        handle(round, producer, number);
    }
}

static void dispatch(Round &round, uint64_t seed) {
    for (uint64_t turn = 0;; turn++) {
        int64_t n = round.outbox->available(round.outbox_reader);
        if (n == 0)
            n = round.outbox->watch(round.outbox_reader, *round.inbox, round.inbox_reader, -1);
        const uint64_t r = mixed(seed + turn);
        if (n == RING_RELIEVE) {
            const int64_t at = round.inbox->position(round.inbox_reader);
            const int64_t number = round.inbox->at(at)->base;
            const int32_t producer = step(round, 2);
            round.inbox->advance(round.inbox_reader, 1);
            round.inbox->pass();
            if (producer < 0)
                continue;
            round.inbox->go_handle();
            handle(round, producer, number);
        } else if (n == RING_CLOSED) {
            return;
        } else {
            take(round, n);
        }
        if (r % 97 == 0) // a slow handler
            std::this_thread::sleep_for(std::chrono::microseconds(r / 97 % 3000));
        if (r % 31 == 0) { // a handler that waits until the worker has emptied the inbox
            const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
            while (round.inbox->depth() > 0) {
                round.inbox->go_away(round.inbox_reader);
                if ((n = round.outbox->available(round.outbox_reader)) > 0)
                    take(round, n);
                std::this_thread::yield();
                if (std::chrono::steady_clock::now() > until)
                    forbidden("R4 stuck while a handler waits", round.inbox->depth(), 0);
            }
        }
    }
}

static void produce(Round &round, int32_t producer, int64_t count, uint64_t seed) {
    for (int64_t i = 0; i < count; i++) {
        const uint64_t r = mixed(seed ^ (static_cast<uint64_t>(i) << 8));
        pause_a_while(r >> 8);
        const int64_t slot = round.inbox->claim(1, -1);
        if (slot < 0)
            forbidden("R5 claim", slot, 0);
        Slot *s = round.inbox->at(slot);
        s->kind = 1;
        s->id = producer;
        s->base = i;
        s->batch = s->note = nullptr;
        round.inbox->publish(slot, r % 8 != 0);
        if (r % 32 != 1)
            continue;
        // This one waits for an answer: whoever sleeps must have been woken.
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (round.inbox->position(round.inbox_reader) <= slot) {
            std::this_thread::yield();
            if (std::chrono::steady_clock::now() > until)
                forbidden("R4 stuck", producer, i);
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: relay_stress PRODUCERS CAPACITY MILLISECONDS\n");
        return 2;
    }
    const int producers = std::atoi(argv[1]);
    const int64_t capacity = std::atoll(argv[2]);
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(std::atoi(argv[3]));
    int64_t rounds = 0, events = 0;
    while (std::chrono::steady_clock::now() < until) {
#if !defined(_WIN32)
        alarm(60);
#endif
        Round round;
        round.inbox = Ring::make(capacity, true, rounds % 3 == 0 ? 0 : 1000);
        round.outbox = Ring::make(capacity, false, rounds % 2 == 0 ? 0 : 1000);
        round.inbox_reader = round.inbox->join();
        round.outbox_reader = round.outbox->join();
        round.inbox->share(*round.outbox);
        round.next.assign(static_cast<std::size_t>(producers), 0);
        const int64_t count = 400;
        std::vector<std::thread> pushing;
        std::thread worker([&] { work(round); });
        std::thread dispatcher([&] { dispatch(round, static_cast<uint64_t>(rounds) << 32); });
        for (int p = 0; p < producers; p++)
            pushing.emplace_back([&, p] { produce(round, p, count, mixed(static_cast<uint64_t>(rounds * 100 + p))); });
        for (std::thread &thread : pushing)
            thread.join();
        round.inbox->close();
        worker.join();
        dispatcher.join();
        for (int p = 0; p < producers; p++)
            if (round.next[static_cast<std::size_t>(p)] != count)
                forbidden("R3 lost", p, round.next[static_cast<std::size_t>(p)]);
        if (round.steps != producers * count)
            forbidden("R3 steps", round.steps, producers * count);
        events += producers * count;
        Ring::destroy(round.inbox);
        Ring::destroy(round.outbox);
        rounds++;
    }
    std::printf("ok rounds=%ld events=%ld\n", static_cast<long>(rounds), static_cast<long>(events));
    return 0;
}
