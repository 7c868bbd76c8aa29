"""Ends of attempts."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from .parts cimport Attempts, Part

cdef int emit(Attempts *a, Part *p, int64_t number, int64_t first, int64_t time, int64_t last, const uint64_t *start_values,
              const uint64_t *end_values) noexcept nogil
cdef int end_front(Attempts *a, Part *p) noexcept nogil
cdef int end_resolved(Attempts *a, Part *p) noexcept nogil
cdef int end_anywhere(Attempts *a, Part *p, uint32_t members) noexcept nogil
cdef int end_numbered(Attempts *a, Part *p) noexcept nogil
cdef int expire(Attempts *a, Part *p, int64_t time) noexcept nogil
