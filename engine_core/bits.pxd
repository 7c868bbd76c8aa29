"""Arrow bitmaps: count, set and gather bits (all positions and lengths in bits; see bits.hpp)."""
from libc.stdint cimport int32_t, int64_t, uint8_t

cdef extern from "bits.hpp" nogil:
    int64_t bits_count(const uint8_t *bits, int64_t start, int64_t n) noexcept
    void bit_put(uint8_t *bits, int64_t i, int value) noexcept
    void bits_set(uint8_t *bits, int64_t start, int64_t n) noexcept
    int64_t bits_gather(uint8_t *out, int64_t out_start, const uint8_t *bits, int64_t in_start,
                        const int32_t *rows, int64_t n) noexcept
