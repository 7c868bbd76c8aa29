// Latch: a lock that is tried, never waited for: whoever finds it taken goes another way.
#pragma once

#include <atomic>

namespace tocsin {

class Latch {
  public:
    bool try_take() noexcept {
        return !taken_.load(std::memory_order_relaxed) && !taken_.exchange(true, std::memory_order_acquire);
    }
    void leave() noexcept { taken_.store(false, std::memory_order_release); }

  private:
    std::atomic<bool> taken_{false};
};

} // namespace tocsin
