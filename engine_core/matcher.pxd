"""PatternMatcher: the operator of a row pattern whose conditions read single rows."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .automaton cimport Automaton
from .output cimport Output
from .parts cimport Attempts
from .row_pattern cimport RowPattern

cdef class PatternMatcher(RowPattern):
    cdef Automaton automaton
    cdef Output result
    cdef Attempts attempts
    cdef uint8_t *inert         # per letter (dense): the row changes nothing
    cdef readonly bint skips    # some letter is inert
    cdef list names             # of the variables, as bytes
    # buffers of one chunk (of one batch, if the conditions can fault)
    cdef uint8_t *narrow
    cdef uint64_t *wide
    cdef uint32_t *partition_of
    cdef int64_t buffer_rows
    # ... always of one chunk: the rows that matter
    cdef int32_t *rows
    cdef uint8_t *kept
    cdef uint32_t *letters
    cdef uint32_t *chosen

    cdef int _start(self) except -1
