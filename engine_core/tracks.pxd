"""Tracks: the attempts of each partition, when they begin, and what becomes of them."""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from .captures cimport Definitions
from .results cimport Results
from .threads cimport Threads

cdef int tracks_reserve(Threads *t, int64_t n) noexcept nogil
# Whether a row of the partition, whose conditions are `mask`, need not be kept at all. Rows of one partition in order.
cdef bint track_ignores(Threads *t, uint32_t partition, uint64_t mask) noexcept nogil
# Links history row `row` as the partition's newest and steps. Status.
cdef int track_row(Threads *t, uint32_t partition, int32_t row, Definitions d, Results results) noexcept nogil
# Time has come to `time`: windows close.
cdef int tracks_advance(Threads *t, int64_t time, Definitions d, Results results) noexcept nogil
cdef int tracks_finish(Threads *t, Definitions d, Results results) noexcept nogil
# Gives an open attempt its timer, once. Status.
cdef int track_arm(Threads *t, int32_t attempt) noexcept nogil
