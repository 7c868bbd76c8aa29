"""BatchC: one reference-counted Arrow record batch as the kernels see it; Batch: its Python face.

A BatchC owns an ArrowArray (moved in from a capsule, or built by `builder`) and one Column view per
column. Its count is atomic: references may be taken and dropped without the GIL and on any thread; the
last drop calls the producer's release. BatchC is immutable once made.
"""
from libc.stdint cimport int32_t, int64_t
from .arrow_abi cimport ArrowArray, ArrowSchema
from .column cimport Column

cdef struct BatchC:
    int64_t references          # atomic: batch_retain / batch_release only
    int64_t n_rows
    int64_t n_columns
    Column *columns             # n_columns views (dictionaries hang behind them)
    ArrowArray array            # owned (a struct array)
    void *dictionaries          # owned block of dictionary views, or NULL

cdef void batch_retain(BatchC *batch) noexcept nogil
cdef void batch_release(BatchC *batch) noexcept nogil
# Takes over `array` (its release is moved) and checks it against `schema` (a struct schema): buffer
# counts, lengths, offsets, dictionary indices: everything a kernel later trusts. NULL and *status on failure,
# and then `array` is still the caller's.
cdef BatchC *batch_adopt(ArrowArray *array, const ArrowSchema *schema, int *status, const char **text) noexcept nogil


cdef class Schema:
    """One Arrow struct schema, owned."""
    cdef ArrowSchema c
    cdef readonly tuple names       # of str
    cdef readonly tuple formats     # of str: Arrow format strings; of the values for a dictionary
    cdef readonly tuple kinds       # of int: Kind of the values


cdef class Batch:
    cdef BatchC *c
    cdef readonly Schema schema

    @staticmethod
    cdef Batch wrap(BatchC *c, Schema schema)   # takes over one reference
