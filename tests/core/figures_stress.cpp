// Figures under ThreadSanitizer: many threads record in one histogram and add to one gauge while another reads and merges.
//
//   figures_stress WRITERS MILLISECONDS        exit 0: every bucket is where it belongs, and nothing was lost
#include "gauge.hpp"
#include "histogram.hpp"

#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

using tocsin::Gauge;
using tocsin::Histogram;

static int fail(const char *what, int64_t value) {
    std::fprintf(stderr, "figures_stress: %s (%lld)\n", what, static_cast<long long>(value));
    return 1;
}

static int64_t total(const Histogram &h) {
    int64_t n = 0;
    for (int i = 0; i < Histogram::BUCKETS; i++)
        n += h.count(i);
    return n;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return fail("usage: figures_stress WRITERS MILLISECONDS", argc);
    const int writers = std::atoi(argv[1]);
    for (int i = 0; i < Histogram::BUCKETS; i++) {
        const int64_t bound = Histogram::bound(i);
        if (Histogram::bucket(bound) != i)
            return fail("a bound lies outside its own bucket", i);
        if (i + 1 < Histogram::BUCKETS && Histogram::bucket(bound + 1) != i + 1)
            return fail("a value above a bound is not in the next bucket", i);
        if (bound > 64 && (bound - Histogram::bound(i - 1)) * 32 > bound)
            return fail("a bucket is wider than 1/32 of its values", i);
    }
    if (Histogram::bucket(-5) != 0 || Histogram::bucket(INT64_MAX) != Histogram::BUCKETS - 1)
        return fail("a value beyond the ends is lost", 0);

    static Histogram latency, merged;
    static Gauge calls, level;
    std::atomic<bool> stop{false};
    std::vector<int64_t> done(writers), largest(writers);
    std::vector<std::thread> threads;
    for (int w = 0; w < writers; w++)
        threads.emplace_back([&, w] {
            uint64_t seed = 88172645463325252u + static_cast<uint64_t>(w);
            do {
                seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
                const int64_t ns = static_cast<int64_t>(seed >> (20 + seed % 40));
                latency.record(ns);
                calls.add(1);
                if (w == 0)
                    level.set(done[w]);
                largest[w] = ns > largest[w] ? ns : largest[w];
                done[w]++;
            } while (!stop.load(std::memory_order_relaxed));
        });
    const int64_t until = tocsin::stamp() + int64_t{1000000} * std::atoi(argv[2]);
    int64_t before = 0, level_before = 0;
    while (tocsin::stamp() < until) {
        const int64_t now = total(latency), n = level.get();
        if (now < before || n < level_before)
            return fail("a count fell", now);
        before = now;
        level_before = n;
    }
    stop = true;
    for (auto &thread : threads)
        thread.join();
    int64_t recorded = 0, longest = 0;
    for (int w = 0; w < writers; w++) {
        recorded += done[w];
        longest = largest[w] > longest ? largest[w] : longest;
    }
    merged.merge(latency);
    merged.merge(latency);
    if (total(latency) != recorded || calls.get() != recorded)
        return fail("counts were lost", recorded - total(latency));
    if (total(merged) != 2 * recorded || merged.sum() != 2 * latency.sum() || merged.largest() != longest)
        return fail("a merged histogram has other counts", total(merged));
    std::printf("%lld records by %d writers\n", static_cast<long long>(recorded), writers);
    return 0;
}
