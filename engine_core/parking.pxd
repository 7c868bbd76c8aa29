"""Parking: attempts that wait for a row of their own, found by that row; for eager matching, where many are open at once."""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from .captures cimport Definitions
from .threads cimport Threads

cdef int parking_init(Threads *t) noexcept nogil
cdef void parking_free(Threads *t) noexcept nogil
# An open attempt whose threads all wait and that has consumed every row leaves the track's active ones. True: it is parked;
# False: it stays active (or there is no memory to park it).
cdef bint parking_take(Threads *t, int32_t attempt, Definitions d) noexcept nogil
# The attempts that history row `row` of partition `track` may move go into `woken`, and are active again. Status.
cdef int parking_wake(Threads *t, int32_t row, int32_t track) noexcept nogil
# All tickets anew, when most are void. Status.
cdef int parking_tidy(Threads *t, Definitions d) noexcept nogil
