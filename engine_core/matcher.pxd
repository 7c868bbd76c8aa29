"""PatternMatcher: the operator of a row pattern."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .parts cimport Attempts
from .automaton cimport Automaton
from .batch cimport BatchC
from .column cimport Column
from .conditions cimport Conditions
from .operator cimport Operator, Piece
from .ordering cimport Ordering
from .output cimport Output
from .owner cimport Owners
from .status cimport Fault

cdef class PatternMatcher(Operator):
    cdef Automaton automaton
    cdef Conditions conditions
    cdef Output result
    cdef Attempts attempts
    cdef Ordering ordering
    cdef bint ready
    cdef bint finished
    cdef bint broken            # memory ran out half way: the state cannot be trusted any more
    cdef int32_t *key_columns
    cdef const Column **keys
    cdef int n_keys
    cdef uint8_t *inert         # per letter (dense): the row changes nothing
    cdef readonly bint skips    # some letter is inert
    cdef int64_t next_sequence
    cdef bytes fingerprint
    cdef dict plan
    cdef list names             # of the variables, as bytes
    cdef Owners owners
    cdef bint judged            # the buffers hold the masks of the batch that is coming to `take`
    # buffers of one chunk (of one batch, if the conditions can fault)
    cdef uint8_t *narrow
    cdef uint64_t *wide
    cdef uint32_t *partitions
    cdef int64_t buffer_rows
    # ... always of one chunk: the rows that matter
    cdef int32_t *rows
    cdef uint8_t *kept
    cdef uint32_t *letters
    cdef uint32_t *chosen
    # buffers of `prepare`
    cdef int32_t *split_rows
    cdef uint8_t *split_letters
    cdef uint8_t *split_owners
    cdef int64_t split_room

    cdef int _reserve(self, int64_t rows) noexcept nogil
    cdef int _reserve_split(self, int64_t rows) noexcept nogil
    cdef int _begin(self, BatchC *batch, int64_t n_rows, bint picked, Fault *fault) noexcept nogil
    cdef int _evaluate(self, BatchC *batch, const Piece *piece, int64_t begin, int64_t n, int64_t at,
                       Fault *fault) noexcept nogil
    cdef int _step(self, BatchC *batch, const Piece *piece, int64_t begin, int64_t n, int64_t at,
                   int64_t base) noexcept nogil
    cdef int _run(self, BatchC *batch, int64_t base_sequence, const Piece *pieces, int64_t n_pieces,
                  Fault *fault) noexcept nogil
    cdef int _give(self, int status, BatchC **out, Fault *fault) noexcept nogil
    cdef int _start(self) except -1
    cdef int _swap(self, PatternMatcher other) except -1
