// Histogram: how long things took, in nanoseconds, as counts in log-linear buckets; and the stamps they are measured from.
//
// After HdrHistogram (G. Tene): every power of two is cut into 32 equal buckets, so that a value is known within 3 % from 33
// ns on and exactly below, whatever its size, in fixed memory (9.5 KiB), and two histograms are merged by adding counts.
//
//     bucket             0   1  ...  31 | 32 ...  63 | 64     ...   95 | 96       ...    127 | ...
//     holds ns up to     1   2  ...  32 | 33 ...  64 | 66  68 ...  128 | 132  136 ...    256 | ...       both ends of a
//                                                                         power of two are ends of buckets
//
// A bucket holds the values above the bound of the one before, up to its own bound and that included, as Prometheus counts.
// Values below 1 count as 1, values above 2^42 ns (73 minutes) in the last bucket; the largest value is kept as it was.
//
// Threads: any may record, any may read meanwhile, none waits (relaxed atomics, as in gauge.hpp). Cost: 8 to 10 ns, the
// clock (`stamp`) 30 ns of processor time more (KVM guest). The clock serves figures only: nothing that the engine decides depends on it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#ifdef _MSC_VER
#include <intrin.h>
#endif

namespace tocsin {

// Nanoseconds of a clock that only goes forward; its zero means nothing, and 0 stands for "no stamp".
inline int64_t stamp() noexcept {
    return static_cast<int64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

class Histogram {
  public:
    static constexpr int SUB = 5; // 2^SUB buckets for each power of two
    static constexpr int TOP = 42;
    static constexpr int BUCKETS = (TOP - SUB + 1) << SUB;

    Histogram() noexcept {
        for (auto &count : counts_)
            count.store(0, std::memory_order_relaxed);
    }
    Histogram(const Histogram &) = delete;
    Histogram &operator=(const Histogram &) = delete;

    static int bucket(int64_t ns) noexcept {
        if (ns <= (int64_t{1} << SUB))
            return ns < 1 ? 0 : static_cast<int>(ns - 1);
        if (ns > (int64_t{1} << TOP))
            return BUCKETS - 1;
        const uint64_t below = static_cast<uint64_t>(ns) - 1; // so that a power of two belongs to the values before it
        const int shift = highest(below) - SUB;
        return (shift << SUB) + static_cast<int>(below >> shift);
    }

    // The largest value that bucket `i` holds.
    static int64_t bound(int i) noexcept {
        const int shift = i < (2 << SUB) ? 0 : (i >> SUB) - 1;
        return static_cast<int64_t>(i - (shift << SUB) + 1) << shift;
    }

    void record(int64_t ns) noexcept {
        counts_[bucket(ns)].fetch_add(1, std::memory_order_relaxed);
        sum_.fetch_add(ns, std::memory_order_relaxed);
        raise(ns);
    }

    void merge(const Histogram &other) noexcept {
        for (int i = 0; i < BUCKETS; i++)
            if (const int64_t n = other.count(i)) // most are empty
                counts_[i].fetch_add(n, std::memory_order_relaxed);
        sum_.fetch_add(other.sum(), std::memory_order_relaxed);
        raise(other.largest());
    }

    int64_t count(int i) const noexcept { return counts_[i].load(std::memory_order_relaxed); }
    int64_t sum() const noexcept { return sum_.load(std::memory_order_relaxed); }
    int64_t largest() const noexcept { return largest_.load(std::memory_order_relaxed); }

  private:
    static int highest(uint64_t word) noexcept { // the number of the highest bit; word > 0
#ifdef _MSC_VER
        unsigned long at;
        _BitScanReverse64(&at, word);
        return static_cast<int>(at);
#else
        return 63 - __builtin_clzll(word);
#endif
    }

    void raise(int64_t ns) noexcept {
        int64_t known = largest_.load(std::memory_order_relaxed);
        while (ns > known && !largest_.compare_exchange_weak(known, ns, std::memory_order_relaxed)) {
        }
    }

    std::atomic<int64_t> counts_[BUCKETS];
    std::atomic<int64_t> sum_{0};
    std::atomic<int64_t> largest_{0};
};

} // namespace tocsin
