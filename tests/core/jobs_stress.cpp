// Stress of engine_core/jobs.hpp alone: n workers go through many jobs together, as in crew.pyx; also under
// ThreadSanitizer: what a job is about, what its segments give and what its workers find is plain memory.
//
//   jobs_stress WORKERS ROOM MILLISECONDS
//
// What a job consists of (segments, whether there is a vote, who says no) follows from the round and its number, so each
// worker knows what it must find. A worker that waits takes segments of jobs ahead of its own, and opens them; now and
// then it does so without waiting, or falls asleep in the middle of a job.
//
// Forbidden outcomes (each ends the program with code 1 and a line that names it):
//   J1  room       a record is filled while the job that had it before is not completed, or some worker is still in it
//   J2  segments   a segment is done twice or never, or there is one that the job does not have
//   J3  record     what a worker finds in a record is not what the opener wrote, or a segment's rows are not there
//   J4  vote       a vote says otherwise than the workers did, or ends before all have voted
//   J5  completed  a job is completed before all workers have left it, twice, never, or out of order
//   J6  hang       a round takes longer than a minute (the alarm)
#include "jobs.hpp"
#include "stress.hpp"

#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <unistd.h>
#endif

using namespace tocsin;

static constexpr int SEGMENTS_MAX = 9, AHEAD_MAX = 8;

// What a job is, as everybody can work it out; the record says the same again.
struct Plan {
    int segments;
    bool votes;
    uint64_t word;
    Plan(uint64_t round, int64_t job) : word(mixed(round * 1000003 + static_cast<uint64_t>(job))) {
        segments = word % 4 == 0 ? 0 : 1 + static_cast<int>((word >> 8) % SEGMENTS_MAX);
        votes = (word >> 16) % 3 == 0;
    }
    uint64_t rows_of(int segment) const { return mixed(word + 17 * static_cast<uint64_t>(segment)); }
    uint64_t part_of(int worker) const { return mixed(word ^ static_cast<uint64_t>(worker)); }
    bool yes(int worker) const { return (part_of(worker) >> 20) % 16 != 0; }
};

struct Part {
    alignas(CACHE_LINE) uint64_t judged;
    uint64_t found;
};

struct Record {
    int64_t job;
    uint64_t word;
    uint64_t rows[SEGMENTS_MAX];
    std::vector<Part> parts;
    // Relaxed: they count, and bring no order that the jobs would not bring by themselves.
    std::atomic<int> done[SEGMENTS_MAX];
    std::atomic<int> left{0};
};

struct Round {
    uint64_t number;
    int workers, room;
    int64_t jobs_wanted;
    Jobs *jobs;
    std::vector<Record> records;
    std::vector<std::atomic<int64_t>> at; // by worker: the job that it is in
    int64_t completed = 0;                // plain: who completes a job comes after who completed the one before
    uint64_t sum = 0;
    std::atomic<int64_t> completed_seen{0};

    Round(uint64_t number_, int workers_, int room_, int64_t wanted)
        : number(number_), workers(workers_), room(room_), jobs_wanted(wanted), jobs(Jobs::make(workers_, room_)),
          records(static_cast<std::size_t>(room_)), at(static_cast<std::size_t>(workers_)) {
        for (auto &record : records)
            record.parts.resize(static_cast<std::size_t>(workers_));
        for (auto &position : at)
            position.store(0);
    }
    ~Round() { Jobs::destroy(jobs); }

    Record &record(int64_t job) { return records[static_cast<std::size_t>(jobs->place(job))]; }

    void open(int64_t job) {
        const Plan plan(number, job);
        Record &r = record(job);
        if (completed_seen.load(std::memory_order_relaxed) <= job - room)
            forbidden("J1 room: not completed", job, completed_seen.load());
        for (auto &position : at)
            if (position.load(std::memory_order_relaxed) < job - room)
                forbidden("J1 room: a worker behind", job, position.load());
        r.job = job;
        r.word = plan.word;
        r.left.store(0, std::memory_order_relaxed);
        for (int i = 0; i < SEGMENTS_MAX; i++) {
            r.rows[i] = 0;
            r.done[i].store(0, std::memory_order_relaxed);
        }
        jobs->opened(job, plan.segments, plan.votes);
    }

    // Takes a segment, if there is one left, and does it.
    bool segment(int64_t job) {
        const int i = jobs->take_segment(job);
        if (i < 0)
            return false;
        const Plan plan(number, job);
        Record &r = record(job);
        if (i >= plan.segments)
            forbidden("J2 segments: none such", job, i);
        if (r.job != job || r.word != plan.word)
            forbidden("J3 record: of another job", job, r.job);
        if (r.done[i].fetch_add(1, std::memory_order_relaxed) != 0)
            forbidden("J2 segments: twice", job, i);
        r.rows[i] = plan.rows_of(i);
        jobs->segment_done(job);
        return true;
    }

    bool help(int64_t job, int64_t *ahead) {
        if (*ahead <= job)
            *ahead = job + 1;
        while (*ahead < job + AHEAD_MAX && *ahead < jobs_wanted) {
            const int entry = jobs->try_enter(*ahead);
            if (entry == JOB_AWAY)
                return false;
            if (entry == JOB_OPENER)
                open(*ahead);
            if (segment(*ahead))
                return true;
            ++*ahead;
        }
        return false;
    }

    void vote(int64_t job, int worker, const Plan &plan) {
        Record &r = record(job);
        bool all = true;
        for (int w = 0; w < workers; w++)
            all = all && plan.yes(w);
        if (jobs->vote(job, plan.yes(worker)) != all)
            forbidden("J4 vote: not what was said", job, worker);
        for (int w = 0; w < workers; w++)
            if (r.parts[static_cast<std::size_t>(w)].judged != plan.part_of(w))
                forbidden("J4 vote: before all have voted", job, w);
    }

    void complete(int64_t job, const Plan &plan) {
        Record &r = record(job);
        if (completed != job)
            forbidden("J5 completed: out of order", job, completed);
        if (r.left.load(std::memory_order_relaxed) != workers)
            forbidden("J5 completed: before all have left", job, r.left.load());
        for (int w = 0; w < workers; w++) {
            if (r.parts[static_cast<std::size_t>(w)].found != plan.part_of(w) + 1)
                forbidden("J5 completed: a part is missing", job, w);
            sum += r.parts[static_cast<std::size_t>(w)].found;
        }
        completed = job + 1;
        completed_seen.store(job + 1, std::memory_order_relaxed);
        jobs->completed(job);
    }

    void work(int worker) {
        uint64_t dice = mixed(number * 64 + static_cast<uint64_t>(worker));
        int64_t ahead = 0;
        for (int64_t job = 0; job < jobs_wanted; job++) {
            dice = mixed(dice);
            at[static_cast<std::size_t>(worker)].store(job, std::memory_order_relaxed);
            if (dice % 64 == 0)
                std::this_thread::sleep_for(std::chrono::microseconds(100));
            if (jobs->enter(job) == JOB_OPENER)
                open(job);
            if (dice % 5 == 1)
                help(job, &ahead);
            Patience patience;
            while (!jobs->segments_ready(job))
                if (!segment(job) && !help(job, &ahead))
                    patience.wait();
            const Plan plan(number, job);
            Record &r = record(job);
            if (r.job != job || r.word != plan.word)
                forbidden("J3 record: of another job", job, r.job);
            for (int i = 0; i < plan.segments; i++) {
                if (r.done[i].load(std::memory_order_relaxed) != 1)
                    forbidden("J2 segments: never", job, i);
                if (r.rows[i] != plan.rows_of(i))
                    forbidden("J3 record: a segment's rows are not there", job, i);
            }
            Part &mine = r.parts[static_cast<std::size_t>(worker)];
            mine.judged = plan.part_of(worker);
            if (plan.votes)
                vote(job, worker, plan);
            if (dice % 64 == 2)
                std::this_thread::sleep_for(std::chrono::microseconds(100));
            mine.found = plan.part_of(worker) + 1;
            r.left.fetch_add(1, std::memory_order_relaxed);
            if (jobs->leave(job))
                complete(job, plan);
        }
    }
};

int main(int argc, char **argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: jobs_stress WORKERS ROOM MILLISECONDS\n");
        return 2;
    }
    const int workers = std::atoi(argv[1]), room = std::atoi(argv[2]);
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(std::atoi(argv[3]));
    uint64_t rounds = 0;
    int64_t total = 0;
    do {
#if !defined(_WIN32)
        alarm(60); // J6: SIGALRM ends the program
#endif
        Round round(rounds, workers, room, 100 + static_cast<int64_t>(rounds % 9) * 50);
        if (round.jobs == nullptr)
            return 2;
        std::vector<std::thread> threads;
        for (int w = 0; w < workers; w++)
            threads.emplace_back(&Round::work, &round, w);
        for (auto &thread : threads)
            thread.join();
        uint64_t sum = 0;
        for (int64_t job = 0; job < round.jobs_wanted; job++)
            for (int w = 0; w < workers; w++)
                sum += Plan(round.number, job).part_of(w) + 1;
        if (round.completed != round.jobs_wanted || round.sum != sum)
            forbidden("J5 completed: never", round.completed, round.jobs_wanted);
        total += round.jobs_wanted;
        rounds++;
    } while (std::chrono::steady_clock::now() < until);
    std::printf("ok rounds=%llu jobs=%lld\n", static_cast<unsigned long long>(rounds), static_cast<long long>(total));
    return 0;
}
