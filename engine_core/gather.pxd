"""Gather: chosen rows of a whole batch as a new batch of the same schema."""
from libc.stdint cimport int32_t, int64_t
from .batch cimport BatchC
from .status cimport Fault

# Rows (each in 0 .. source.n_rows - 1, in any order, repeats allowed) of the first `n_columns` columns. Dictionaries stay
# dictionaries and share their values with `source`, views share its variadic buffers: the new batch then holds a reference
# to it. NULL and a filled fault (`item` is the column): no memory, a large_utf8 or utf8 column past its limit, or
# STATUS_TYPE for a column that kernels cannot read.
cdef BatchC *batch_gather(BatchC *source, const int32_t *rows, int64_t n, int64_t n_columns, Fault *fault) noexcept nogil
# Gives `batch`, which are the events base + rows[i], its places: each row reaches from itself to itself. Status.
cdef int batch_place(BatchC *batch, const int32_t *rows, int64_t base) noexcept nogil
