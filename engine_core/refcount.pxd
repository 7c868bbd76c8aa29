"""Atomic counts: references to a batch, live objects, "somebody is inside" flags."""
from libc.stdint cimport int64_t

cdef extern from "refcount.hpp" nogil:
    int64_t count_add(int64_t *count, int64_t delta) noexcept    # the new count
    int64_t count_get(int64_t *count) noexcept
