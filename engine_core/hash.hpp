// Hashing for the key map: a 64 x 64 -> 128 bit multiply folded to 64 bits ("mum", as in wyhash and umash).
// Seeded per map, so that keys chosen by a stranger cannot be made to collide on purpose.
#pragma once
#include <cstdint>
#include <cstring>

#if defined(_MSC_VER) && defined(_M_X64)
#include <intrin.h>
#endif

namespace tocsin {

static inline uint64_t mix(uint64_t a, uint64_t b) noexcept {
#if defined(__SIZEOF_INT128__)
  const unsigned __int128 p = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(p) ^ static_cast<uint64_t>(p >> 64);
#elif defined(_MSC_VER) && defined(_M_X64)
  uint64_t high;
  const uint64_t low = _umul128(a, b, &high);
  return low ^ high;
#else
  const uint64_t al = a & 0xffffffffu, ah = a >> 32, bl = b & 0xffffffffu, bh = b >> 32;
  const uint64_t m = ah * bl + ((al * bl) >> 32), k = al * bh + (m & 0xffffffffu);
  return ((k << 32) | ((al * bl) & 0xffffffffu)) ^ (ah * bh + (m >> 32) + (k >> 32));
#endif
}

static inline uint64_t hash_u64(uint64_t x, uint64_t seed) noexcept {
  return mix(x ^ seed ^ 0x9e3779b97f4a7c15ull, 0xd6e8feb86659fd93ull);
}

static inline uint64_t hash_bytes(const uint8_t *p, int64_t n, uint64_t seed) noexcept {
  uint64_t h = seed ^ mix(static_cast<uint64_t>(n) ^ 0x2d358dccaa6c78a5ull, 0x8bb84b93962eacc9ull);
  uint64_t a, b;
  for (; n >= 16; n -= 16, p += 16) {
    std::memcpy(&a, p, 8);
    std::memcpy(&b, p + 8, 8);
    h = mix(a ^ 0x4b33a62ed433d4a3ull, b ^ h);
  }
  a = b = 0;
  if (n >= 8) {
    std::memcpy(&a, p, 8);
    std::memcpy(&b, p + n - 8, 8);
  } else if (n > 0) {
    std::memcpy(&a, p, static_cast<size_t>(n));
  }
  return mix(a ^ 0x9e3779b97f4a7c15ull, b ^ h ^ 0xd6e8feb86659fd93ull);
}

static inline void prefetch(const void *p) noexcept {
#if defined(__GNUC__)
  __builtin_prefetch(p);
#else
  (void)p;
#endif
}

}  // namespace tocsin
