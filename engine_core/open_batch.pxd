"""OpenBatch (open_batch.hpp) over output columns: a batch in the ring that small pushes may still join."""
from libc.stdint cimport int64_t
from .batch cimport BatchC
from .builder cimport OutColumn
from .column cimport Column

cdef extern from "open_batch.hpp" namespace "tocsin" nogil:
    cppclass OpenBatch:
        @staticmethod
        OpenBatch *make(void *content, void (*finish)(void *, int64_t) noexcept nogil,
                        void (*destroy)(void *, int64_t) noexcept nogil, int64_t rows, int64_t time)
        void retain()
        void release()
        bint begin_append()
        void end_append(int64_t rows, int64_t time)
        void *content()
        int64_t rows()
        int64_t time()

cdef enum:
    OPEN_ROWS_MAX = 64      # the most rows that open_append and open_copy take at once

# A new open batch (one reference) of the rows in `columns`, whose buffers it takes over (they are left empty), and in
# `batch` (one reference) what it becomes when a reader closes it. NULL: no memory, nothing has changed.
cdef OpenBatch *open_begin(OutColumn *columns, int64_t n, int64_t rows, int64_t time, BatchC **batch) noexcept nogil
# The same of a copy of `rows` rows, <= OPEN_ROWS_MAX; NULL also when `like` (empty columns) cannot hold such values.
cdef OpenBatch *open_copy(const OutColumn *like, const Column *columns, int64_t n, int64_t rows, int64_t time,
                          BatchC **batch) noexcept nogil
# Copies `rows` rows, <= OPEN_ROWS_MAX, to the end; False, and nothing has changed: a reader has closed it, or it cannot hold
# such values, or that many, or there is no memory.
cdef bint open_append(OpenBatch *open, const Column *columns, int64_t n, int64_t rows, int64_t time) noexcept nogil
