"""BatchC: one reference-counted Arrow record batch as the kernels see it; Batch: its Python face.

A BatchC owns an ArrowArray (moved in from a capsule, or built by `builder`) and one Column view per
column. Its count is atomic: references may be taken and dropped without the GIL and on any thread; the
last drop calls the producer's release. BatchC is immutable once made.
"""
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint8_t
from .arrow_abi cimport ArrowArray, ArrowSchema
from .column cimport Column
from .schema cimport Schema
from .status cimport Fault

cdef struct BatchC:
    int64_t references          # atomic: batch_retain / batch_release only
    int64_t n_rows
    int64_t n_columns
    Column *columns             # n_columns views, in the block of the BatchC
    Column *dictionaries        # n_columns more, used by the dictionary columns
    ArrowArray array            # owned (a struct array)
    # The Schema that its columns are in, or NULL: the one that its maker declares. Borrowed, from who took the batch in: an
    # Intake, or the caller of Operator.run; gather passes it on.
    PyObject *layout
    BatchC *places              # of matches, or NULL: from which to which event of the source each reaches

cdef enum:
    PLACES = 2                  # sequences of the first and of the last event

cdef void batch_retain(BatchC *batch) noexcept nogil
cdef void batch_release(BatchC *batch) noexcept nogil      # NULL is allowed
# Takes over `array` (its release is moved) and checks it against `schema` (the `c` of a Schema, or one that passed
# schema_check): buffer counts, lengths, offsets, dictionary codes: everything a kernel later trusts. NULL and a
# filled fault on failure (`item` is the column), and then `array` is still the caller's.
cdef BatchC *batch_adopt(ArrowArray *array, const ArrowSchema *schema, Fault *fault) noexcept nogil
# The Schema that the columns of `batch` are in; `declared`: its maker's.
cdef Schema batch_schema(const BatchC *batch, Schema declared)
# For makers of batches (builder, gather): a zeroed BatchC of one reference with room for its views; the maker fills
# n_rows, the views and `array`. NULL: no memory.
cdef BatchC *batch_new(int64_t n_columns) noexcept nogil
# The same with `extra` zeroed bytes behind it, in one block; `behind` is where they begin, a multiple of 16.
cdef BatchC *batch_new_with(int64_t n_columns, int64_t extra, uint8_t **behind) noexcept nogil
# An ArrowArray whose pointers to buffers and children are in a block of its own. Its release frees the buffers
# 0 .. n_owned - 1 and drops `kept` (retained here) on which the others rest, or NULL. Children are zeroed structs.
cdef int array_make(ArrowArray *out, int64_t length, int64_t null_count, int64_t n_buffers, int64_t n_owned,
                    int64_t n_children, BatchC *kept) noexcept nogil
# The last PLACES columns of a batch that nobody else holds become its `places`. Status; then nothing has changed.
cdef int batch_set_aside(BatchC *batch) noexcept nogil
# A second ArrowArray over the memory of `source`, which `kept` keeps alive; children and dictionary included.
cdef int array_alias(ArrowArray *out, const ArrowArray *source, BatchC *kept) noexcept nogil
# The same of one column, with the offset and length that its batch gives it.
cdef int array_column(ArrowArray *out, BatchC *batch, int64_t column) noexcept nogil
# Room for the dictionary of an array made by array_make. Status.
cdef int array_add_dictionary(ArrowArray *out) noexcept nogil


cdef class Batch:
    cdef BatchC *c
    cdef readonly Schema schema

    @staticmethod
    cdef Batch wrap(BatchC *c, Schema schema)   # takes over one reference
