"""ThreadMatcher: the operator of a row pattern whose definitions may read the match so far."""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from .captures cimport Definitions
from .results cimport Results
from .row_pattern cimport RowPattern
from .threads cimport Threads

cdef class ThreadMatcher(RowPattern):
    cdef Definitions definitions
    cdef Results results
    cdef Threads threads
    # buffers of one chunk (masks and partitions: of one batch, if the conditions can fault)
    cdef uint64_t *masks
    cdef uint32_t *partition_of
    cdef int32_t *rows
    cdef uint32_t *chosen
    cdef int64_t buffer_rows

    cdef int _program(self, dict plan) except -1
    cdef int _seeks(self, dict plan) except -1
    cdef int _state(self) except -1
