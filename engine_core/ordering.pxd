"""The order of the rows that a matcher is given: the check of ORDER BY across batches."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from .blob cimport Blob, Reader
from .column cimport Column
from .words cimport ValueColumn
from .status cimport Fault

cdef struct Ordering:
    ValueColumn *columns
    uint8_t *descending
    uint8_t *nulls_first
    int32_t n
    int32_t time                # number of the column (0) that is the time (ascending, 64 bits), or -1
    bint every                  # every row needs a time (WITHIN)
    bint any                    # a row has been seen
    uint64_t *last              # its values
    int64_t watermark           # no row with a time below may come (advance)
    bint has_watermark

# From a plan's (column, type, descending, nulls_first) each. `timed`: the first is the time. ValueError: not there.
cdef int ordering_bind(Ordering *o, list order, bint timed, bint every, int n_columns) except -1
cdef int ordering_init(Ordering *o) noexcept nogil
cdef void ordering_free(Ordering *o) noexcept nogil
# Whether rows start .. start + n of a batch are in order, behind the row before them too; for the first of them,
# `continues`: behind the batches that were committed. Changes nothing.
cdef int ordering_check(const Ordering *o, const Column *columns, int64_t start, int64_t n, bint continues,
                        Fault *fault) noexcept nogil
# Remembers the batch's last row (n > 0).
cdef int ordering_commit(Ordering *o, const Column *columns, int64_t n) noexcept nogil
cdef void ordering_save(const Ordering *o, Blob *b) noexcept nogil
cdef int ordering_restore(Ordering *o, Reader *r) noexcept nogil
