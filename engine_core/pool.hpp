// Bit masks of conditions, one bit per row (bit i of word i / 64, least significant first): made from the bytes of the
// expression kernel, and read back as row numbers. Words without a bit, the most, cost a load and a test.
#pragma once
#include <cstdint>
#include <cstring>

#include "vector.hpp"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tocsin {

// `bytes` (0 or 1, n of them) to words; bits behind the last row are 0.
static inline void pack_bits(const uint8_t *bytes, int64_t n, uint64_t *words) noexcept {
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    uint64_t word = 0;
#if defined(__SSE2__)
    for (int k = 0; k < 4; k++) {
      const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i *>(bytes + i + 16 * k));
      word |= static_cast<uint64_t>(_mm_movemask_epi8(_mm_slli_epi16(v, 7))) << (16 * k);
    }
#else
    for (int k = 0; k < 8; k++) {
      uint64_t eight;
      std::memcpy(&eight, bytes + i + 8 * k, 8);
      word |= (eight * 0x0102040810204080ull >> 56) << (8 * k);
    }
#endif
    words[i >> 6] = word;
  }
  if (i < n) {
    uint64_t word = 0;
    for (int64_t k = i; k < n; k++) word |= static_cast<uint64_t>(bytes[k]) << (k - i);
    words[i >> 6] = word;
  }
}

static inline int lowest_bit(uint64_t w) noexcept {
#if defined(__GNUC__)
  return __builtin_ctzll(w);
#else
  int at = 0;
  while (!((w >> at) & 1)) at++;
  return at;
#endif
}

TOCSIN_CLONES static void and_masks(const uint64_t *const *masks, int n_masks, int64_t start, int64_t n,
                                    uint64_t *TOCSIN_RESTRICT out) noexcept {
  if (n_masks == 2) {  // by far the most
    const uint64_t *a = masks[0] + start, *b = masks[1] + start;
    for (int64_t i = 0; i < n; i++) out[i] = a[i] & b[i];
    return;
  }
  std::memcpy(out, masks[0] + start, static_cast<size_t>(n) * 8);
  for (int k = 1; k < n_masks; k++) {
    const uint64_t *m = masks[k] + start;
    for (int64_t i = 0; i < n; i++) out[i] &= m[i];
  }
}

static inline int64_t select_all(const uint64_t *const *masks, int n_masks, int64_t n_words, int32_t *rows) noexcept {
  uint64_t block[128];
  int64_t found = 0;
  for (int64_t start = 0; start < n_words; start += 128) {
    const int64_t n = n_words - start < 128 ? n_words - start : 128;
    and_masks(masks, n_masks, start, n, block);
    for (int64_t i = 0; i < n; i++) {
      const int32_t first = static_cast<int32_t>((start + i) << 6);
      for (uint64_t w = block[i]; w; w &= w - 1) rows[found++] = first + lowest_bit(w);
    }
  }
  return found;
}

}  // namespace tocsin
