"""RowPattern: what the two operators of row patterns have in common."""
from libc.stdint cimport int32_t, int64_t, uint8_t

from .batch cimport BatchC
from .blob cimport Blob, Reader
from .column cimport Column
from .conditions cimport Conditions
from .keymap cimport KeyMap
from .operator cimport Operator, Piece
from .ordering cimport Ordering
from .owner cimport Owners
from .status cimport Fault

cdef enum:
    STAGE_CONDITION = 1         # Fault.stage: a condition has no value in some row

cdef class RowPattern(Operator):
    cdef Conditions conditions
    cdef Ordering ordering
    cdef KeyMap *keymap         # inside the subclass's state
    cdef bint ready
    cdef bint finished
    cdef bint broken            # memory ran out half way: the state cannot be trusted any more
    cdef int32_t *key_columns
    cdef const Column **keys
    cdef int n_keys
    cdef int64_t next_sequence
    cdef dict plan
    cdef Owners owners
    cdef bint judged            # the subclass's buffers hold the masks of the batch that is coming to `take`
    # buffers of `prepare`
    cdef int32_t *split_rows
    cdef uint8_t *split_letters
    cdef uint8_t *split_owners
    cdef int64_t split_room

    cdef int _bind(self, dict plan, bint within) except -1
    cdef int _bind_keys(self, const BatchC *batch) noexcept nogil
    cdef int _begin(self, BatchC *batch, int64_t n_rows, bint picked, Fault *fault) noexcept nogil
    cdef int _run(self, BatchC *batch, int64_t base_sequence, const Piece *pieces, int64_t n_pieces,
                  Fault *fault) noexcept nogil
    cdef int _ended(self, Fault *fault) noexcept nogil
    cdef int _reserve_split(self, int64_t rows) noexcept nogil
    cdef int _split(self, int64_t start, int64_t n, int64_t kept, bint lettered, int shares, int32_t *rows,
                    uint8_t *letters, int32_t *ends) noexcept nogil

    # The subclass's part. Those that return an int: a Status.
    cdef int64_t _open(self) noexcept nogil                         # attempts that are open
    cdef int _expire(self) noexcept nogil                           # those whose time is over leave, before they are counted
    cdef int _reserve(self, int64_t rows) noexcept nogil            # the buffers have room for so many
    cdef int _enter(self, BatchC *batch, int64_t base) noexcept nogil
    # Masks (and what they need) of n rows of the piece, from `begin` on, into the buffers from `at` on.
    cdef int _evaluate(self, BatchC *batch, const Piece *piece, int64_t begin, int64_t n, int64_t at,
                       Fault *fault) noexcept nogil
    # The attempts take these rows, whose masks stand in the buffers from `at` on, or in the piece.
    cdef int _step(self, BatchC *batch, const Piece *piece, int64_t begin, int64_t n, int64_t at,
                   int64_t base) noexcept nogil
    cdef int _leave(self, BatchC *batch, int64_t base, bint shared) noexcept nogil  # all rows have been stepped
    cdef int _pass_time(self, int64_t time) noexcept nogil          # the watermark
    cdef int _end(self) noexcept nogil                              # of the input
    cdef int _give(self, int status, BatchC **out, Fault *fault) noexcept nogil     # the end of every call: what was found
    cdef bytes _magic(self)
    cdef bint _waits(self)                                          # matches wait behind a fault
    cdef int _before_save(self) noexcept nogil
    cdef void _write(self, Blob *b) noexcept nogil
    cdef RowPattern _fresh(self)
    cdef int _read(self, Reader *r) noexcept nogil
    cdef int _swap(self, RowPattern other) except -1                # exchanges all state, and tells it
