// Bell: where threads of a ring sleep until somebody rings.
//
// Nobody sleeps through a ring: a sleeper counts itself, then looks again, then sleeps; who rings has changed the state
// before, and then looks at the count. All four are seq_cst, so one of the two sees the other. (Stand-alone fences would do
// too, but ThreadSanitizer does not model them.) Without sleepers, ringing is one load.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace tocsin {

constexpr std::size_t CACHE_LINE = 64;

// `Ready` is called again after the count went up and before every sleep.
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
    bool sleepers() const noexcept { return sleepers_.load(std::memory_order_relaxed) != 0; }
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

} // namespace tocsin
