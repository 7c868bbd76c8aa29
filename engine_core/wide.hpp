// A 128-bit integer accumulator in two words, for sums whose order must not matter.
#pragma once
#include <cstdint>

namespace tocsin {

struct WideSum {
  uint64_t low;
  int64_t high;
};

static inline void wide_clear(WideSum *s) noexcept { s->low = 0; s->high = 0; }
static inline void wide_add_u64(WideSum *s, uint64_t x) noexcept {
  s->low += x;
  s->high += s->low < x;
}
static inline void wide_add_i64(WideSum *s, int64_t x) noexcept {
  const uint64_t bits = static_cast<uint64_t>(x);
  s->low += bits;
  s->high += (s->low < bits) - (x < 0);
}
static inline bool wide_to_i64(const WideSum *s, int64_t *out) noexcept {
  *out = static_cast<int64_t>(s->low);
  return s->high == (*out < 0 ? -1 : 0);
}
static inline bool wide_to_u64(const WideSum *s, uint64_t *out) noexcept {
  *out = s->low;
  return s->high == 0;
}

}  // namespace tocsin
