"""Gather: chosen rows of a whole batch as a new batch of the same schema (what a row filter lets through).

Each column keeps its layout, so the schema of the source is the schema of the result:

    fixed, bool, utf8, null    new buffers                                   (out_gather)
    large_utf8                 new buffers, int64 offsets                    (here)
    dictionary                 new codes; the dictionary is an alias         } the new batch holds one reference
    view                       new 16-byte views; variadic buffers shared    } to `source` for each such column

Sharing keeps a whole source alive for a few rows of it. That is right for a filter's output, which is handed
on and let go; who keeps rows for long decodes them with `out_gather` instead.

Cost: that of out_gather, a column at a time; a code is gathered like an integer of its width.
"""
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset
from .arrow_abi cimport ArrowArray
from .batch cimport PLACES, BatchC, array_add_dictionary, array_alias, array_make, batch_new, batch_release
from .bits cimport bits_gather
from .builder cimport OutColumn, out_array, out_export, out_free, out_gather, out_init, out_reserve, out_view
from .column cimport (
    KIND_DICT, KIND_FIXED, KIND_I64, KIND_LARGE_UTF8, KIND_NONE, KIND_UTF8_VIEW, Column, column_bytes, column_valid)
from .status cimport STATUS_NO_MEMORY, STATUS_OK, STATUS_TYPE, Fault, fault_set


cdef int gather_large(ArrowArray *out, Column *view, const Column *source, const int32_t *rows,
                      int64_t n) noexcept nogil:
    """large_utf8 and large_binary: the sizes first, then one allocation each."""
    cdef int64_t i, size
    cdef int64_t ones = n
    cdef int64_t total = 0
    cdef const uint8_t *data = NULL
    cdef uint8_t *validity = NULL
    cdef uint8_t *values = NULL
    cdef int64_t *offsets = <int64_t *>malloc((n + 1) * 8)
    cdef bint made = offsets != NULL
    if made and source.null_count > 0:
        validity = <uint8_t *>malloc((n >> 3) + 1)
        made = validity != NULL
    if made:
        if validity != NULL:
            ones = bits_gather(validity, 0, source.validity, source.bit_offset, rows, n)
        offsets[0] = 0
        for i in range(n):
            if column_valid(source, rows[i]):
                column_bytes(source, rows[i], &data, &size)
                if size > INT64_MAX - 1 - total:        # one long string repeated beyond any memory
                    made = False
                    break
                total += size
            offsets[i + 1] = total
    if made:
        values = <uint8_t *>malloc(total + 1)
        made = values != NULL and array_make(out, n, n - ones, 3, 3, 0, NULL) == STATUS_OK
    if not made:
        free(validity)
        free(offsets)
        free(values)
        return STATUS_NO_MEMORY
    for i in range(n):
        size = offsets[i + 1] - offsets[i]
        if size > 0:
            column_bytes(source, rows[i], &data, &size)
            memcpy(values + offsets[i], data, size)
    out.buffers[0] = validity
    out.buffers[1] = offsets
    out.buffers[2] = values
    memset(view, 0, sizeof(Column))
    view.kind = KIND_LARGE_UTF8
    view.length = n
    view.null_count = n - ones
    view.validity = validity if n > ones else NULL
    view.offsets = <const uint8_t *>offsets
    view.data = values
    return STATUS_OK


cdef int gather_column(BatchC *out, BatchC *source, int64_t at, const int32_t *rows, int64_t n) noexcept nogil:
    cdef Column column = source.columns[at]         # a copy: codes and views are gathered as plain values
    cdef Column *view = &out.columns[at]
    cdef ArrowArray *array = out.array.children[at]
    cdef const ArrowArray *origin = source.array.children[at]
    cdef OutColumn o
    cdef int64_t i
    cdef int64_t n_extra = 0
    cdef BatchC *kept = NULL
    cdef int status
    if column.kind == KIND_NONE:
        return STATUS_TYPE
    if column.kind == KIND_LARGE_UTF8:
        return gather_large(array, view, &column, rows, n)
    if column.kind == KIND_DICT:
        column.kind = column.index_kind
    elif column.kind == KIND_UTF8_VIEW:
        column.kind = KIND_FIXED
        n_extra = origin.n_buffers - 2
        kept = source
    out_init(&o, column.kind, column.width)
    status = out_gather(&o, &column, rows, n)
    if status == STATUS_OK:
        out_view(&o, view)
        status = out_array(&o, n_extra, kept, array)
    if status != STATUS_OK:
        out_free(&o)
        return status
    if source.columns[at].kind == KIND_UTF8_VIEW:
        for i in range(2, origin.n_buffers):
            array.buffers[i] = origin.buffers[i]
        view.kind = KIND_UTF8_VIEW
        view.variadic = array.buffers + 2
        view.n_variadic = n_extra - 1
    elif source.columns[at].kind == KIND_DICT:
        status = array_add_dictionary(array)
        if status == STATUS_OK:
            status = array_alias(array.dictionary, origin.dictionary, source)
        out.dictionaries[at] = column.dictionary[0]
        view.index_kind = column.index_kind
        view.kind = KIND_DICT
        view.dictionary = &out.dictionaries[at]
    return status


cdef BatchC *batch_gather(BatchC *source, const int32_t *rows, int64_t n, int64_t n_columns, Fault *fault) noexcept nogil:
    cdef int64_t i
    cdef int status
    cdef const char *text
    cdef BatchC *out = batch_new(n_columns)
    if out == NULL or array_make(&out.array, n, 0, 1, 0, n_columns, NULL) != STATUS_OK:
        batch_release(out)
        fault_set(fault, STATUS_NO_MEMORY, -1, -1, 0, 0, "the rows that passed")
        return NULL
    out.n_rows = n
    out.layout = source.layout
    for i in range(n_columns):
        status = gather_column(out, source, i, rows, n)
        if status != STATUS_OK:
            batch_release(out)
            text = "the rows that passed"
            if status == STATUS_TYPE:
                text = "rows of this type cannot be picked out"
            fault_set(fault, status, -1, <int>i, 0, 0, text)
            return NULL
    return out


cdef int batch_place(BatchC *batch, const int32_t *rows, int64_t base) noexcept nogil:
    cdef OutColumn columns[PLACES]
    cdef int64_t i, n = batch.n_rows
    cdef int64_t *values
    cdef int k, status = STATUS_OK
    for k in range(PLACES):
        out_init(&columns[k], KIND_I64, 0)
        if status == STATUS_OK:
            status = out_reserve(&columns[k], n)
        if status == STATUS_OK:
            values = <int64_t *>columns[k].values
            for i in range(n):
                values[i] = base + rows[i]
            columns[k].length = n
    if status == STATUS_OK:
        batch.places = out_export(columns, PLACES, n)
    if batch.places == NULL:
        for k in range(PLACES):
            out_free(&columns[k])
        return STATUS_NO_MEMORY
    return STATUS_OK
