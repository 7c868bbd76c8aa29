"""Declarations of hash.hpp."""
from libc.stdint cimport int64_t, uint8_t, uint64_t


cdef extern from "hash.hpp" namespace "tocsin" nogil:
    uint64_t hash_u64(uint64_t x, uint64_t seed) noexcept
    uint64_t hash_bytes(const uint8_t *p, int64_t n, uint64_t seed) noexcept
    void prefetch(const void *p) noexcept
