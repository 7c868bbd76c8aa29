"""Gauge: one number that one side writes and any thread reads without waiting; Counter: the same for Python."""
from libc.stdint cimport int64_t

cdef extern from "gauge.hpp" namespace "tocsin" nogil:
    cppclass Gauge:
        Gauge() noexcept
        int64_t get() noexcept
        void set(int64_t value) noexcept
        void add(int64_t n) noexcept        # several writers
        void grow(int64_t n) noexcept       # one writer at a time


cdef class Counter:
    cdef Gauge gauge
