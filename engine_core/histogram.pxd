"""Latency histograms: histogram.hpp's class and its stamps for nogil code, and Histogram, which owns one."""
from libc.stdint cimport int64_t

cdef extern from "histogram.hpp" namespace "tocsin" nogil:
    int64_t stamp() noexcept

    cppclass HistogramC "tocsin::Histogram":
        HistogramC() noexcept

        @staticmethod
        int bucket(int64_t ns) noexcept

        @staticmethod
        int64_t bound(int i) noexcept
        void record(int64_t ns) noexcept
        void merge(const HistogramC &other) noexcept
        int64_t count(int i) noexcept
        int64_t sum() noexcept
        int64_t largest() noexcept

    const int HISTOGRAM_BUCKETS "tocsin::Histogram::BUCKETS"


cdef class Histogram:
    cdef HistogramC c
