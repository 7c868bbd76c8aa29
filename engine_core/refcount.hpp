// Atomic counts for reference counting and leak counters; memory that other structs own, so no std::atomic member.
#pragma once
#include <cstdint>
#ifdef _MSC_VER
#include <intrin.h>
#endif

// Adds `delta` and returns the new count. Acquire-release: the thread that sees 0 sees all that was done before.
static inline int64_t count_add(int64_t *count, int64_t delta) noexcept {
#ifdef _MSC_VER
  return _InterlockedExchangeAdd64(reinterpret_cast<volatile __int64 *>(count), delta) + delta;
#else
  return __atomic_add_fetch(count, delta, __ATOMIC_ACQ_REL);
#endif
}

static inline int64_t count_get(int64_t *count) noexcept { return count_add(count, 0); }
