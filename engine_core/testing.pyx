"""Testing: Python entry points to functions of the data floor that have none, for the tests and benchmarks only.

Nothing of the product imports this module, and it adds no behaviour: arguments in, one C function, result out.
"""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from .batch cimport Batch, BatchC
from .builder cimport (
    OutColumn, out_export, out_free, out_gather, out_gather_optional, out_init, out_push_bytes, out_push_f64,
    out_push_i64, out_push_null, out_truncate)
from .column cimport (
    KIND_BOOL, KIND_DICT, KIND_F16, KIND_F64, KIND_FIXED, KIND_U64, KIND_UTF8, KIND_UTF8_VIEW, Column, column_bytes,
    column_f64, column_i64, column_valid, dictionary_code, dictionary_valid)
from .gather cimport batch_gather
from .schema cimport Layout, Schema, layout_of
from .status cimport Fault, fault_exception, fault_set


def fault_error(int code, int64_t row=-1, int64_t value=0, int64_t other=0, bytes text=None, str context=""):
    """The exception that `fault_exception` makes."""
    cdef Fault fault
    fault_set(&fault, code, row, -1, value, other, <const char *>text if text is not None else NULL)
    return fault_exception(&fault, context)


cdef object value_read(const Column *c, int64_t i):
    cdef const uint8_t *data = NULL
    cdef int64_t size = 0
    if c.kind == KIND_DICT:
        return value_read(c.dictionary, dictionary_code(c, i)) if dictionary_valid(c, i) else None
    if not column_valid(c, i):
        return None
    if c.kind == KIND_U64:
        return <uint64_t>column_i64(c, i)
    if KIND_BOOL <= c.kind < KIND_F16:
        return column_i64(c, i)
    if KIND_F16 <= c.kind <= KIND_F64:
        return column_f64(c, i)
    if KIND_UTF8 <= c.kind <= KIND_UTF8_VIEW:
        column_bytes(c, i, &data, &size)
        return data[:size]
    if c.kind == KIND_FIXED:
        return (c.values + i * c.width)[:c.width]
    return f"kind {c.kind}"


def read_columns(Batch batch):
    """Every column through the inline readers: ints, floats, bytes or None."""
    cdef int64_t i, j
    return [[value_read(&batch.c.columns[j], i) for i in range(batch.c.n_rows)] for j in range(batch.c.n_columns)]


def null_counts(Batch batch):
    """The exact null counts that kernels see."""
    return [batch.c.columns[j].null_count for j in range(batch.c.n_columns)]


def gather_rows(Batch batch, const int32_t[::1] rows):
    """batch_gather."""
    cdef Fault fault
    cdef const int32_t *chosen = &rows[0] if rows.shape[0] > 0 else NULL
    cdef BatchC *c
    cdef int64_t n = rows.shape[0]
    with nogil:
        c = batch_gather(batch.c, chosen, n, batch.c.n_columns, &fault)
    if c == NULL:
        raise fault_exception(&fault, "gather_rows")
    return Batch.wrap(c, batch.schema)


@cython.no_gc_clear     # __dealloc__ needs the schema: the collector must not have taken it away by then
cdef class Builder:
    """A set of OutColumns of one schema."""
    cdef OutColumn *columns
    cdef Schema schema

    def __cinit__(self, Schema schema):
        cdef Layout layout
        cdef int64_t i
        self.schema = schema
        self.columns = <OutColumn *>calloc(len(schema) + 1, sizeof(OutColumn))
        for i in range(len(schema)):
            layout_of(schema.c.children[i].format, &layout)
            out_init(&self.columns[i], layout.kind, layout.width)

    def __dealloc__(self):
        cdef int64_t i
        for i in range(len(self.schema)):
            out_free(&self.columns[i])
        free(self.columns)

    def push(self, int64_t column, value):
        """One value by its Python type: None, float, bytes, int. The status."""
        cdef OutColumn *o = &self.columns[column]
        if value is None:
            return out_push_null(o)
        if isinstance(value, float):
            return out_push_f64(o, value)
        if isinstance(value, bytes):
            return out_push_bytes(o, <const uint8_t *><const char *>value, len(value))
        return out_push_i64(o, value)

    def gather(self, int64_t column, Batch batch, int64_t source, const int32_t[::1] rows, bint optional=False):
        """out_gather or out_gather_optional. The status."""
        cdef const int32_t *chosen = &rows[0] if rows.shape[0] > 0 else NULL
        cdef int64_t n = rows.shape[0]
        cdef int status
        with nogil:
            if optional:
                status = out_gather_optional(&self.columns[column], &batch.c.columns[source], chosen, n)
            else:
                status = out_gather(&self.columns[column], &batch.c.columns[source], chosen, n)
        return status

    def truncate(self, int64_t column, int64_t length):
        """out_truncate."""
        out_truncate(&self.columns[column], length)

    def length(self, int64_t column):
        """Rows of a column."""
        return self.columns[column].length

    def export(self):
        """out_export; the columns are empty afterwards."""
        cdef int64_t rows = self.columns[0].length if len(self.schema) else 0
        cdef BatchC *c = out_export(self.columns, len(self.schema), rows)
        if c == NULL:
            raise MemoryError
        return Batch.wrap(c, self.schema)
