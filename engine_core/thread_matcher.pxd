"""ThreadMatcher: the operator of a row pattern whose definitions may read the match so far."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .batch cimport BatchC
from .captures cimport Definitions
from .column cimport Column
from .conditions cimport Conditions
from .operator cimport Operator, Piece
from .ordering cimport Ordering
from .owner cimport Owners
from .results cimport Results
from .status cimport Fault
from .threads cimport Threads

cdef class ThreadMatcher(Operator):
    cdef Conditions conditions
    cdef Definitions definitions
    cdef Results results
    cdef Threads threads
    cdef Ordering ordering
    cdef bint ready
    cdef bint finished
    cdef bint broken            # memory ran out half way: the state cannot be trusted any more
    cdef int32_t *key_columns
    cdef const Column **keys
    cdef int n_keys
    cdef int64_t next_sequence
    cdef dict plan
    cdef Owners owners
    cdef bint judged            # the buffers hold the masks of the batch that is coming to `take`
    # buffers of one chunk (masks and partitions: of one batch, if the conditions can fault)
    cdef uint64_t *masks
    cdef uint32_t *partitions
    cdef int32_t *rows
    cdef uint32_t *chosen
    cdef int64_t buffer_rows
    # buffers of `prepare`
    cdef int32_t *split_rows
    cdef uint8_t *split_owners
    cdef int64_t split_room

    cdef int _program(self, dict plan) except -1
    cdef int _seeks(self, dict plan) except -1
    cdef int _state(self) except -1
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
    cdef int _swap(self, ThreadMatcher other) except -1
