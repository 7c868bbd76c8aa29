// Gauge: one number that is written while somebody works and read by anybody who looks.
//
// Relaxed atomics: a look never waits for the writer, the writer never for a look, and no number is torn. Numbers that
// were written one after the other may be seen in any order, so a sum of several is of about one moment, not exactly of one.
// Cost: `set` is a plain store; `add` of several writers one locked addition (5 ns), once per batch or call, never per event.
#pragma once

#include <atomic>
#include <cstdint>

namespace tocsin {

class Gauge {
  public:
    Gauge() noexcept = default;
    Gauge(const Gauge &) = delete;
    Gauge &operator=(const Gauge &) = delete;

    int64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }
    void set(int64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
    void add(int64_t n) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }

    // As add, where only one thread at a time writes: no locked instruction.
    void grow(int64_t n) noexcept { set(get() + n); }

  private:
    std::atomic<int64_t> value_{0};
};

} // namespace tocsin
