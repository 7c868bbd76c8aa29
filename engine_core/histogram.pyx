"""Histogram: how long things took (layout, accuracy, cost: histogram.hpp)."""
from libc.stdint cimport int64_t


def now():
    """A stamp for `Histogram.since` (int, nanoseconds of a clock that only goes forward)."""
    return stamp()


cdef class Histogram:
    """Counts of durations in nanoseconds, by size; within 3 %, in fixed memory. Any thread may record and read.

    >>> latency = Histogram()
    >>> latency.record(70)
    >>> latency.record(71)
    >>> latency.record(5)
    >>> latency.read()
    (146, 71, [(5, 1), (70, 1), (72, 1)])
    """

    def record(self, int64_t ns):
        """Counts one duration."""
        self.c.record(ns)

    def since(self, int64_t stamp_ns):
        """Counts the time from a stamp until now; 0 is no stamp, and counts nothing."""
        if stamp_ns:
            self.c.record(stamp() - stamp_ns)

    def merge(self, Histogram other not None):
        """Adds the counts of another."""
        self.c.merge(other.c)

    def read(self):
        """(sum of all durations, the longest, [(bound, count), ...]): the buckets that are not empty, by size.

        A bucket counts the durations above the bound of the bucket before it, up to its own bound (nanoseconds).
        """
        cdef int i
        cdef int64_t count
        cdef list found = []
        for i in range(HISTOGRAM_BUCKETS):
            count = self.c.count(i)
            if count:
                found.append((HistogramC.bound(i), count))
        return self.c.sum(), self.c.largest(), found
