// Spares: memory of jobs that are done, for those that are opened next.
//
// The rows of a job (crew.pyx) are some hundred KiB that one worker fills and all read, and few jobs are under way at a time.
// What was given back last is taken first: it is still in the cache, and the system has no page to clear.
//
// At most KEPT blocks are kept, none of more than `most` bytes; the mutex is entered twice for each job.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <new>

namespace tocsin {

class Spares {
  public:
    static Spares *make(std::size_t most) noexcept { return new (std::nothrow) Spares(most); }
    static void destroy(Spares *spares) noexcept { delete spares; }
    ~Spares() {
        for (int i = 0; i < kept_; i++)
            std::free(blocks_[i].memory);
    }
    Spares(const Spares &) = delete;
    Spares &operator=(const Spares &) = delete;

    // A block of at least `size` bytes, and how many it has; NULL: no memory.
    void *take(std::size_t size, std::size_t *room) noexcept {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            if (kept_ > 0 && blocks_[kept_ - 1].room >= size) {
                kept_--;
                *room = blocks_[kept_].room;
                return blocks_[kept_].memory;
            }
        }
        *room = size;
        return std::malloc(size);
    }

    void give(void *memory, std::size_t room) noexcept {
        void *surplus = memory;
        if (room <= most_) {
            std::lock_guard<std::mutex> lock(mutex_);
            if (kept_ == KEPT) { // the oldest makes way: it may be one for the smaller batches of earlier times
                surplus = blocks_[0].memory;
                for (int i = 1; i < KEPT; i++)
                    blocks_[i - 1] = blocks_[i];
                kept_--;
            } else {
                surplus = nullptr;
            }
            blocks_[kept_++] = Block{memory, room};
        }
        std::free(surplus);
    }

  private:
    static constexpr int KEPT = 8;
    struct Block {
        void *memory;
        std::size_t room;
    };
    explicit Spares(std::size_t most) noexcept : most_(most) {}

    std::mutex mutex_;
    Block blocks_[KEPT];
    int kept_ = 0;
    std::size_t most_;
};

} // namespace tocsin
