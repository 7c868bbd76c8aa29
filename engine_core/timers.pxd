"""Timers of WITHIN."""
from libc.stdint cimport int64_t

from .parts cimport Attempts, Part, Timer

cdef int timer_push(Attempts *a, const Timer *timer) noexcept nogil
cdef void timer_pop(Attempts *a) noexcept nogil
cdef int attempts_arm(Attempts *a, Part *p) noexcept nogil
cdef int attempts_advance(Attempts *a, int64_t time) noexcept nogil
