// Jobs: how several workers share the work on one batch without a lock.
//
// All workers read the same slots of the inbox, and so find the same list of jobs, 0, 1, 2, ...: one per batch and trigger
// (or per message to a trigger). Every worker goes through every job in order; what there is to do in one is split:
//
//     open       the first to come fills the job's record (what it is, how many segments)
//     segments   work that any worker can do, each once: workers take segments until none is left, also those of jobs
//                that lie ahead of their own, so that a worker that waits does something useful
//     vote       (some jobs) every worker says yes or no, and learns whether all said yes
//     leave      every worker's own part is done; who leaves last *completes* the job: puts the parts together
//
// A job is completed before its completer leaves the next one, so completions happen one after the other, in order, though
// by different workers; what one writes in it the next may read (chain of the acquire-release decrements in leave).
//
//   state of a record          3 j          free for job j
//                              3 j + 1      being opened for it
//                              3 j + 2      open
//   completed                  3 (j + room)
//
// Invariants
//   J1  a record is used for job j + room only after j is completed: so no worker is more than `room` jobs ahead.
//   J2  a worker's part in job j begins after all segments of j are done (wait_segments).
//   J3  every worker leaves every job exactly once.
// Waiting: a short spin, then yields, then naps of 50 us: a worker waits only for others that are at work, so nobody needs to
// be woken; on a machine with fewer processors than workers the yields let those others run.
// Cost: five atomic operations per job and worker, plus one per segment.
#pragma once

#include "ring.hpp"

namespace tocsin {

class Patience {
  public:
    void wait() noexcept {
        if (turns_ < SPINS)
            spin_pause();
        else if (turns_ < SPINS + YIELDS)
            std::this_thread::yield();
        else
            std::this_thread::sleep_for(std::chrono::microseconds(50));
        turns_++;
    }

  private:
    static constexpr int SPINS = 100, YIELDS = 2000;
    int turns_ = 0;
};

enum JobEntry { JOB_AWAY = 0, JOB_OPENER = 1, JOB_OPEN = 2 };

struct alignas(CACHE_LINE) Job {
    std::atomic<int64_t> state;
    std::atomic<int32_t> next_segment;
    std::atomic<int32_t> segments_left;
    alignas(CACHE_LINE) std::atomic<int32_t> votes_left;
    std::atomic<int32_t> refused;
    std::atomic<int32_t> workers_left;
    int32_t segments;
};

class Jobs {
  public:
    // room: how many jobs may be under way at once. NULL: no memory.
    static Jobs *make(int workers, int room) noexcept {
        Job *records = new (std::nothrow) Job[static_cast<std::size_t>(room)];
        if (records == nullptr)
            return nullptr;
        for (int i = 0; i < room; i++) {
            records[i].state.store(3 * int64_t{i}, std::memory_order_relaxed);
            records[i].segments = 0;
        }
        Jobs *jobs = new (std::nothrow) Jobs(records, workers, room);
        if (jobs == nullptr)
            delete[] records;
        return jobs;
    }
    static void destroy(Jobs *jobs) noexcept { delete jobs; }
    ~Jobs() { delete[] records_; }
    Jobs(const Jobs &) = delete;
    Jobs &operator=(const Jobs &) = delete;

    int room() const noexcept { return room_; }
    int place(int64_t job) const noexcept { return static_cast<int>(job % room_); }

    // Without waiting: JOB_OPENER (fill the record, then opened()), JOB_OPEN, or JOB_AWAY (its record is in use).
    int try_enter(int64_t job) noexcept {
        std::atomic<int64_t> &state = records_[place(job)].state;
        int64_t seen = state.load(std::memory_order_acquire);
        if (seen == 3 * job && state.compare_exchange_strong(seen, 3 * job + 1, std::memory_order_acq_rel))
            return JOB_OPENER;
        return seen == 3 * job + 2 ? JOB_OPEN : JOB_AWAY;
    }

    int enter(int64_t job) noexcept {
        Patience patience;
        int entry;
        while ((entry = try_enter(job)) == JOB_AWAY)
            patience.wait();
        return entry;
    }

    void opened(int64_t job, int segments, bool votes) noexcept {
        Job &record = records_[place(job)];
        record.segments = segments;
        record.next_segment.store(0, std::memory_order_relaxed);
        record.segments_left.store(segments, std::memory_order_relaxed);
        record.votes_left.store(votes ? workers_ : 0, std::memory_order_relaxed);
        record.refused.store(0, std::memory_order_relaxed);
        record.workers_left.store(workers_, std::memory_order_relaxed);
        record.state.store(3 * job + 2, std::memory_order_release);
    }

    // A segment for the caller to do, or -1: all are taken.
    int take_segment(int64_t job) noexcept {
        Job &record = records_[place(job)];
        if (record.next_segment.load(std::memory_order_relaxed) >= record.segments)
            return -1;
        const int segment = record.next_segment.fetch_add(1, std::memory_order_relaxed);
        return segment < record.segments ? segment : -1;
    }
    void segment_done(int64_t job) noexcept {
        records_[place(job)].segments_left.fetch_sub(1, std::memory_order_acq_rel);
    }
    bool segments_ready(int64_t job) const noexcept {
        return records_[place(job)].segments_left.load(std::memory_order_acquire) == 0;
    }

    // Every worker once; true if all say yes.
    bool vote(int64_t job, bool yes) noexcept {
        Job &record = records_[place(job)];
        if (!yes)
            record.refused.store(1, std::memory_order_relaxed);
        record.votes_left.fetch_sub(1, std::memory_order_acq_rel);
        Patience patience;
        while (record.votes_left.load(std::memory_order_acquire) != 0)
            patience.wait();
        return record.refused.load(std::memory_order_relaxed) == 0;
    }

    // True for the last one, which puts the parts together and then calls completed().
    bool leave(int64_t job) noexcept {
        return records_[place(job)].workers_left.fetch_sub(1, std::memory_order_acq_rel) == 1;
    }
    void completed(int64_t job) noexcept {
        records_[place(job)].state.store(3 * (job + room_), std::memory_order_release);
    }

  private:
    Jobs(Job *records, int workers, int room) noexcept : records_(records), workers_(workers), room_(room) {}

    Job *records_;
    int workers_;
    int room_;
};

} // namespace tocsin
