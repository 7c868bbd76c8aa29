"""ConditionPool: what the filters of one source have in common, answered once per batch."""
from libc.stdint cimport int32_t, int64_t, uint64_t

from .batch cimport BatchC
from .row_condition cimport RowCondition

cdef extern from "pool.hpp" namespace "tocsin" nogil:
    # Rows below 64 * n_words whose bit is set in all `n_masks` masks, in order; returns how many.
    int64_t select_all(const uint64_t *const *masks, int n_masks, int64_t n_words, int32_t *rows) noexcept

cdef struct PoolC:
    const BatchC *batch     # what the shard hands round at the moment, or NULL: nothing is shared
    uint64_t turn           # number of that round: answers of any other round are void
    int32_t *rows           # for the one filter that is running, `room` of them
    int64_t room


cdef class SharedCondition(RowCondition):   # one that cannot fault
    cdef object __weakref__
    cdef uint64_t *bits     # bit i: true for row i; those behind the last row are 0
    cdef int64_t room       # words
    cdef uint64_t turn      # whose answer `bits` is; 0: none
    # The answer for the batch of this turn, from memory or worked out. NULL: no memory.
    cdef const uint64_t *answer(self, const BatchC *batch, uint64_t turn) noexcept nogil


cdef class ConditionPool:
    cdef PoolC c
    cdef object known       # what defines a SharedCondition -> that, as long as a filter has it
    # SharedConditions of which all must be true for the one condition to be; None: it can fault.
    cdef list share(self, RowCondition condition)


# Around one batch's way through the listeners of a source; by the thread that runs them.
cdef inline void pool_open(PoolC *pool, const BatchC *batch) noexcept nogil:
    pool.turn += 1
    pool.batch = batch

cdef inline void pool_close(PoolC *pool) noexcept nogil:
    pool.batch = NULL

# Room for `n` row numbers. NULL: no memory.
cdef int32_t *pool_rows(PoolC *pool, int64_t n) noexcept nogil
