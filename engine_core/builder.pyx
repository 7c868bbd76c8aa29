"""Builder: growing output columns in Arrow layout, and batches made of them.

An OutColumn owns malloc'ed buffers that double as they fill; a validity bitmap comes into being with the first
null. Rows come one at a time (`out_push_*`: a measure of a match) or many at once (`out_gather`: rows of an input
column). `out_export` moves the buffers into a BatchC without a copy.

    kind               values                       offsets              validity
    fixed width        width bytes a row            -                    bits, or NULL: no nulls
    KIND_BOOL          bits                         -                    "
    KIND_UTF8          the strings' bytes           int32, length + 1    "
    KIND_NULL          -                            -                    - (every row is null)
    KIND_LIST          - (`child`, an OutColumn)    int32, length + 1    bits, or NULL: no nulls

Invariants: bits and bytes beyond `length` mean nothing; offsets[length] == bytes_used; null_count is exact; a call
that fails leaves the column as it was (memory is taken before anything is written).
Limits: utf8 output holds 2^31 - 1 bytes a batch, because its offsets are int32: STATUS_CAPACITY.

Cost, ns a row (4 M rows, all of them / 1 % at random): 8 bytes 0.6 / 1.2, with nulls 1.7 / 2.3, bool 0.8 / 0.9,
utf8 of 5 bytes 6 / 17, the same out of a dictionary 10 / 8.
"""
from libc.stdint cimport INT32_MAX, INT64_MAX, int8_t, int16_t, int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memmove, memset
from .arrow_abi cimport ArrowArray
from .batch cimport BatchC, array_make, batch_new, batch_new_with, batch_release
from .bits cimport bit_put, bits_count, bits_gather, bits_set
from .column cimport (
    KIND_BOOL, KIND_DICT, KIND_F16, KIND_F32, KIND_F64, KIND_FIXED, KIND_I8, KIND_I16, KIND_I32, KIND_I64,
    KIND_LARGE_UTF8, KIND_NONE, KIND_NULL, KIND_U8, KIND_U16, KIND_U32, KIND_U64, KIND_UTF8, KIND_UTF8_VIEW,
    Column, bit_get, column_bytes, column_valid, dictionary_code)
from .status cimport STATUS_CAPACITY, STATUS_NO_MEMORY, STATUS_OK, STATUS_TYPE

cdef extern from "gather.hpp" nogil:
    void gather_fixed(int width, int optional, uint8_t *out, const uint8_t *values, const int32_t *rows,
                      int64_t n) noexcept

cdef enum:
    ROWS_MIN = 64           # the first reservation
    BYTES_MIN = 256
    COMPACT_MAX = 8192      # bytes of a batch that is copied into one block
    CHUNK = 1024            # dictionary codes translated at a time (4 KiB of stack)

# What empty columns show instead of NULL.
cdef int64_t NOTHING[2]         # zeros, as C has it


cdef inline int kind_width(int kind, int width) noexcept nogil:
    if kind == KIND_I8 or kind == KIND_U8:
        return 1
    if kind == KIND_I16 or kind == KIND_U16 or kind == KIND_F16:
        return 2
    if kind == KIND_I32 or kind == KIND_U32 or kind == KIND_F32:
        return 4
    if kind == KIND_I64 or kind == KIND_U64 or kind == KIND_F64:
        return 8
    return width if kind == KIND_FIXED else 0


cdef inline bint is_utf8(int kind) noexcept nogil:
    return kind == KIND_UTF8 or kind == KIND_LARGE_UTF8 or kind == KIND_UTF8_VIEW


# ------------------------------------------------------------------ life and room

cdef void out_init(OutColumn *o, int kind, int width) noexcept nogil:
    memset(o, 0, sizeof(OutColumn))
    o.kind = kind
    if kind & KIND_LIST:
        o.kind = KIND_LIST
        o.child_kind = kind >> 8
        o.child_width = width
    o.width = kind_width(o.kind, width)


cdef void out_free(OutColumn *o) noexcept nogil:
    cdef int kind = o.kind
    cdef int width = o.width
    if kind == KIND_LIST:
        kind = list_kind(o.child_kind)
        width = o.child_width
    if o.child != NULL:
        out_free(o.child)
        free(o.child)
    free(o.values)
    free(o.validity)
    free(o.offsets)
    out_init(o, kind, width)


cdef void out_truncate(OutColumn *o, int64_t length) noexcept nogil:
    if o.child != NULL:
        out_truncate(o.child, o.offsets[min(length, o.length)])
    if length >= o.length:
        return
    if o.kind == KIND_NULL:
        o.null_count = length
    elif o.null_count > 0:
        o.null_count = length - bits_count(o.validity, 0, length)
    if o.kind == KIND_UTF8:
        o.bytes_used = o.offsets[length]
    o.length = length


cdef inline int grow(uint8_t **buffer, int64_t size) noexcept nogil:
    cdef void *moved = realloc(buffer[0], size if size > 0 else 1)
    if moved == NULL:
        return STATUS_NO_MEMORY
    buffer[0] = <uint8_t *>moved
    return STATUS_OK


cdef int out_reserve(OutColumn *o, int64_t extra_rows) noexcept nogil:
    cdef int64_t rows
    if extra_rows <= o.capacity - o.length:
        return STATUS_OK
    if extra_rows > (INT64_MAX >> 8) // (o.width + 8) - o.length:
        return STATUS_NO_MEMORY
    rows = max(o.length + extra_rows, 2 * o.capacity, <int64_t>ROWS_MIN)
    rows = (rows + 63) & ~<int64_t>63
    # A buffer that has grown while a later one could not is only larger than it must be: `capacity` tells.
    if o.kind == KIND_LIST and o.child == NULL:
        o.child = <OutColumn *>calloc(1, sizeof(OutColumn))
        if o.child == NULL:
            return STATUS_NO_MEMORY
        out_init(o.child, o.child_kind, o.child_width)
    if o.kind == KIND_UTF8 or o.kind == KIND_LIST:
        if grow(<uint8_t **>&o.offsets, (rows + 1) * 4) != STATUS_OK:
            return STATUS_NO_MEMORY
        if o.capacity == 0:
            o.offsets[0] = 0
    elif o.kind == KIND_BOOL:
        if grow(&o.values, rows >> 3) != STATUS_OK:
            return STATUS_NO_MEMORY
    elif o.kind != KIND_NULL:
        if grow(&o.values, rows * o.width) != STATUS_OK:
            return STATUS_NO_MEMORY
    if o.validity != NULL and grow(&o.validity, rows >> 3) != STATUS_OK:
        return STATUS_NO_MEMORY
    o.capacity = rows
    return STATUS_OK


cdef int bytes_reserve(OutColumn *o, int64_t extra) noexcept nogil:
    cdef int64_t size
    if extra <= o.bytes_capacity - o.bytes_used:
        return STATUS_OK
    if extra > INT32_MAX - o.bytes_used:
        return STATUS_CAPACITY
    size = max(o.bytes_used + extra, 2 * o.bytes_capacity, <int64_t>BYTES_MIN)
    if grow(&o.values, size) != STATUS_OK:
        return STATUS_NO_MEMORY
    o.bytes_capacity = size
    return STATUS_OK


cdef int validity_begin(OutColumn *o) noexcept nogil:
    """Makes the bitmap, with ones for the rows so far. The rows must be reserved."""
    if o.validity == NULL:
        if grow(&o.validity, o.capacity >> 3) != STATUS_OK:
            return STATUS_NO_MEMORY
        bits_set(o.validity, 0, o.length)
    return STATUS_OK


# ------------------------------------------------------------------ one row

cdef inline void row_done(OutColumn *o) noexcept nogil:
    if o.validity != NULL:
        bit_put(o.validity, o.length, 1)
    o.length += 1


cdef int out_push_i64(OutColumn *o, int64_t value) noexcept nogil:
    if o.length == o.capacity and out_reserve(o, 1) != STATUS_OK:
        return STATUS_NO_MEMORY
    if o.kind == KIND_I64 or o.kind == KIND_U64:
        (<int64_t *>o.values)[o.length] = value
    elif o.kind == KIND_BOOL:
        bit_put(o.values, o.length, value != 0)
    elif o.kind == KIND_I32 or o.kind == KIND_U32:
        (<int32_t *>o.values)[o.length] = <int32_t>value
    elif o.kind == KIND_I16 or o.kind == KIND_U16:
        (<int16_t *>o.values)[o.length] = <int16_t>value
    elif o.kind == KIND_I8 or o.kind == KIND_U8:
        (<int8_t *>o.values)[o.length] = <int8_t>value
    else:
        return STATUS_TYPE
    row_done(o)
    return STATUS_OK


cdef int out_push_f64(OutColumn *o, double value) noexcept nogil:
    if o.length == o.capacity and out_reserve(o, 1) != STATUS_OK:
        return STATUS_NO_MEMORY
    if o.kind == KIND_F64:
        (<double *>o.values)[o.length] = value
    elif o.kind == KIND_F32:
        (<float *>o.values)[o.length] = <float>value
    else:
        return STATUS_TYPE
    row_done(o)
    return STATUS_OK


cdef int out_push_bytes(OutColumn *o, const uint8_t *data, int64_t size) noexcept nogil:
    cdef int status
    if o.length == o.capacity and out_reserve(o, 1) != STATUS_OK:
        return STATUS_NO_MEMORY
    if o.kind == KIND_UTF8:
        status = bytes_reserve(o, size)
        if status != STATUS_OK:
            return status
        if size > 0:
            memcpy(o.values + o.bytes_used, data, size)
        o.bytes_used += size
        o.offsets[o.length + 1] = <int32_t>o.bytes_used
    elif o.kind == KIND_FIXED and size == o.width:
        if size > 0:
            memcpy(o.values + o.length * size, data, size)
    else:
        return STATUS_TYPE
    row_done(o)
    return STATUS_OK


cdef int out_push_null(OutColumn *o) noexcept nogil:
    if o.length == o.capacity and out_reserve(o, 1) != STATUS_OK:
        return STATUS_NO_MEMORY
    if o.kind != KIND_NULL:
        if validity_begin(o) != STATUS_OK:
            return STATUS_NO_MEMORY
        bit_put(o.validity, o.length, 0)
        if o.kind == KIND_UTF8:
            o.offsets[o.length + 1] = <int32_t>o.bytes_used
        elif o.kind == KIND_LIST:
            o.offsets[o.length + 1] = o.offsets[o.length]
        elif o.kind == KIND_BOOL:
            bit_put(o.values, o.length, 0)
        else:
            memset(o.values + o.length * o.width, 0, o.width)
    o.length += 1
    o.null_count += 1
    return STATUS_OK


cdef int out_push_list(OutColumn *o) noexcept nogil:
    if o.length == o.capacity and out_reserve(o, 1) != STATUS_OK:
        return STATUS_NO_MEMORY
    if o.child.length > INT32_MAX:
        return STATUS_CAPACITY
    o.offsets[o.length + 1] = <int32_t>o.child.length
    row_done(o)
    return STATUS_OK


cdef inline void bits_close(uint8_t *bits, int64_t start, int64_t stop, int64_t length) noexcept nogil:
    """Bits start .. stop - 1 go, those behind move up."""
    cdef int64_t i
    for i in range(stop, length):
        bit_put(bits, start + i - stop, bit_get(bits, i))


cdef void out_remove(OutColumn *o, int64_t start, int64_t stop) noexcept nogil:
    cdef int64_t i, rest = o.length - stop
    cdef int32_t begin, end
    if start >= stop:
        return
    if o.kind == KIND_NULL:
        o.null_count -= stop - start
    elif o.null_count > 0:
        o.null_count -= stop - start - bits_count(o.validity, start, stop - start)
    if o.validity != NULL:
        bits_close(o.validity, start, stop, o.length)
    if o.offsets != NULL:
        begin = o.offsets[start]
        end = o.offsets[stop]
        if o.kind == KIND_LIST:
            out_remove(o.child, begin, end)
        else:
            if end < o.bytes_used:      # empty texts have no bytes, and perhaps no memory
                memmove(o.values + begin, o.values + end, o.bytes_used - end)
            o.bytes_used -= end - begin
        for i in range(rest + 1):
            o.offsets[start + i] = o.offsets[stop + i] - (end - begin)
    elif o.kind == KIND_BOOL:
        bits_close(o.values, start, stop, o.length)
    elif o.kind != KIND_NULL:
        memmove(o.values + start * o.width, o.values + stop * o.width, rest * o.width)
    o.length -= stop - start


# ------------------------------------------------------------------ many rows

cdef int gather_nulls(OutColumn *o, int64_t n) noexcept nogil:
    """n nulls at the end, whatever the kind."""
    cdef int64_t _i
    cdef int64_t before = o.length
    cdef int status = out_reserve(o, n)
    for _i in range(n):
        if status != STATUS_OK:
            out_truncate(o, before)
            return status
        status = out_push_null(o)
    return status


cdef int gather_utf8(OutColumn *o, const Column *source, const int32_t *rows, int64_t n, bint nulls) noexcept nogil:
    """Strings of any layout; rows are reserved, and validity written already when there are nulls."""
    cdef int64_t i, size
    cdef int64_t total = 0
    cdef int64_t at = o.bytes_used
    cdef const uint8_t *data = NULL
    cdef int status
    for i in range(n):
        if nulls and (rows[i] < 0 or not column_valid(source, rows[i])):
            continue
        column_bytes(source, rows[i], &data, &size)
        total += size
        if total > INT32_MAX:
            return STATUS_CAPACITY
    status = bytes_reserve(o, total)
    if status != STATUS_OK:
        return status
    for i in range(n):
        if not nulls or (rows[i] >= 0 and column_valid(source, rows[i])):
            column_bytes(source, rows[i], &data, &size)
            if size > 0:
                memcpy(o.values + at, data, size)
            at += size
        o.offsets[o.length + i + 1] = <int32_t>at
    o.bytes_used = at
    return STATUS_OK


cdef int gather_plain(OutColumn *o, const Column *source, const int32_t *rows, int64_t n,
                      bint optional) noexcept nogil:
    """Of a source that is no dictionary."""
    cdef bint nulls = optional or source.null_count > 0
    cdef int64_t ones = n
    cdef int status
    if source.kind == KIND_NULL or o.kind == KIND_NULL:
        return gather_nulls(o, n) if source.kind == KIND_NULL else STATUS_TYPE
    if o.kind == KIND_UTF8:
        if not is_utf8(source.kind):
            return STATUS_TYPE
    elif source.kind != o.kind or (o.kind == KIND_FIXED and source.width != o.width):
        return STATUS_TYPE
    if out_reserve(o, n) != STATUS_OK or (nulls and validity_begin(o) != STATUS_OK):
        return STATUS_NO_MEMORY
    # Bits beyond `length` mean nothing until it is moved at the end: a failure in between leaves no trace.
    if nulls:
        ones = bits_gather(o.validity, o.length, source.validity, source.bit_offset, rows, n)
    elif o.validity != NULL:
        bits_set(o.validity, o.length, n)
    if o.kind == KIND_UTF8:
        status = gather_utf8(o, source, rows, n, nulls)
        if status != STATUS_OK:
            return status
    elif o.kind == KIND_BOOL:
        bits_gather(o.values, o.length, source.values, source.bit_offset, rows, n)
    else:
        gather_fixed(o.width, optional, o.values + o.length * o.width, source.values, rows, n)
    o.length += n
    o.null_count += n - ones
    return STATUS_OK


cdef int gather_decoded(OutColumn *o, const Column *source, const int32_t *rows, int64_t n,
                        bint optional) noexcept nogil:
    """Of a dictionary: rows become codes, which are rows of its values; -1 where the row is null."""
    cdef int32_t codes[CHUNK]
    cdef int64_t before = o.length
    cdef int64_t size, i
    cdef int64_t start = 0
    cdef bint nulls = optional or source.null_count > 0
    cdef int status = STATUS_OK
    while start < n and status == STATUS_OK:
        size = min(<int64_t>CHUNK, n - start)
        for i in range(size):
            if nulls and (rows[start + i] < 0 or not column_valid(source, rows[start + i])):
                codes[i] = -1
            else:
                codes[i] = <int32_t>dictionary_code(source, rows[start + i])
        status = gather_plain(o, source.dictionary, codes, size, nulls)
        start += size
    if status != STATUS_OK:
        out_truncate(o, before)
    return status


cdef int out_gather(OutColumn *o, const Column *source, const int32_t *rows, int64_t n) noexcept nogil:
    if source.kind == KIND_DICT:
        return gather_decoded(o, source, rows, n, False)
    return gather_plain(o, source, rows, n, False)


cdef int out_gather_optional(OutColumn *o, const Column *source, const int32_t *rows, int64_t n) noexcept nogil:
    if source.kind == KIND_DICT:
        return gather_decoded(o, source, rows, n, True)
    return gather_plain(o, source, rows, n, True)


# ------------------------------------------------------------------ batches

cdef void out_view(const OutColumn *o, Column *view) noexcept nogil:
    memset(view, 0, sizeof(Column))
    view.kind = o.kind if o.kind != KIND_LIST else KIND_NONE
    view.width = o.width
    view.length = o.length
    view.null_count = o.null_count
    view.validity = o.validity if o.null_count > 0 else NULL
    view.values = <const uint8_t *>NOTHING
    view.offsets = <const uint8_t *>NOTHING
    if o.values != NULL:
        view.values = o.values
    if o.kind == KIND_UTF8:
        view.data = view.values
        view.values = NULL
        if o.offsets != NULL:
            view.offsets = <const uint8_t *>o.offsets


cdef int array_begin(OutColumn *o, int64_t n_extra, BatchC *kept, ArrowArray *array) noexcept nogil:
    """All the memory that exporting `o` needs, so that `array_finish` cannot fail."""
    cdef int64_t n_owned = 0 if o.kind == KIND_NULL else (3 if o.kind == KIND_UTF8 else 2)
    cdef int status
    # Some consumers want a buffer to be there even for no rows.
    if o.capacity == 0 and out_reserve(o, 1) != STATUS_OK:
        return STATUS_NO_MEMORY
    status = array_make(array, o.length, o.null_count, n_owned + n_extra, n_owned, 1 if o.child != NULL else 0, kept)
    if status != STATUS_OK or o.child == NULL:
        return status
    status = array_begin(o.child, 0, NULL, array.children[0])
    if status != STATUS_OK:
        array.release(array)
    return status


cdef void array_finish(OutColumn *o, ArrowArray *array) noexcept nogil:
    cdef int kind = o.kind
    cdef int width = o.width
    if kind == KIND_LIST:
        array.buffers[0] = o.validity
        array.buffers[1] = o.offsets
        array_finish(o.child, array.children[0])
        free(o.child)
        kind = list_kind(o.child_kind)
        width = o.child_width
    elif o.kind == KIND_UTF8:
        array.buffers[0] = o.validity
        array.buffers[1] = o.offsets
        array.buffers[2] = o.values
    elif o.kind != KIND_NULL:
        array.buffers[0] = o.validity
        array.buffers[1] = o.values
    out_init(o, kind, width)


cdef int out_array(OutColumn *o, int64_t n_extra, BatchC *kept, ArrowArray *array) noexcept nogil:
    cdef int status = array_begin(o, n_extra, kept, array)
    if status == STATUS_OK:
        array_finish(o, array)
    return status


cdef BatchC *out_prepare(OutColumn *columns, int64_t n) noexcept nogil:
    cdef int64_t i
    cdef int status
    cdef BatchC *batch = batch_new(n)
    if batch == NULL:
        return NULL
    status = array_make(&batch.array, 0, 0, 1, 0, n, NULL)
    for i in range(n):
        if status == STATUS_OK:
            status = array_begin(&columns[i], 0, NULL, batch.array.children[i])
    if status != STATUS_OK:
        batch_release(batch)
        return NULL
    return batch


cdef void out_finish(BatchC *batch, OutColumn *columns, int64_t n, int64_t n_rows) noexcept nogil:
    cdef int64_t i
    batch.n_rows = n_rows
    batch.array.length = n_rows
    for i in range(n):
        batch.array.children[i].length = columns[i].length
        batch.array.children[i].null_count = columns[i].null_count
        out_view(&columns[i], &batch.columns[i])
        array_finish(&columns[i], batch.array.children[i])


cdef void in_block_release(ArrowArray *array) noexcept nogil:
    """Of an array that lies in the block of its BatchC, which goes with that."""
    array.release = NULL


cdef inline int64_t padded(int64_t size) noexcept nogil:
    return (size + 15) & ~<int64_t>15


cdef inline int64_t values_size(const OutColumn *o) noexcept nogil:
    if o.kind == KIND_UTF8:
        return o.bytes_used
    if o.kind == KIND_BOOL:
        return (o.length + 7) >> 3
    return o.length * o.width


cdef inline uint8_t *put_in_block(uint8_t **at, const void *source, int64_t size) noexcept nogil:
    cdef uint8_t *begin = at[0]
    if size > 0:
        memcpy(begin, source, size)
    at[0] = begin + padded(size)
    return begin


cdef BatchC *out_compact(OutColumn *columns, int64_t n, int64_t n_rows) noexcept nogil:
    cdef int64_t i, size = padded(n * sizeof(ArrowArray)) + padded((4 * n + 1) * sizeof(void *))
    cdef BatchC *batch
    cdef OutColumn *o
    cdef OutColumn moved
    cdef ArrowArray *array
    cdef const void **pointers
    cdef uint8_t *at = NULL
    for i in range(n):
        o = &columns[i]
        if o.kind == KIND_LIST:
            return NULL
        if o.null_count > 0 and o.kind != KIND_NULL:
            size += padded((o.length + 7) >> 3)
        if o.kind == KIND_UTF8:
            size += padded((o.length + 1) * 4)
        size += padded(values_size(o))
        if size > COMPACT_MAX:
            return NULL
    batch = batch_new_with(n, size, &at)
    if batch == NULL:
        return NULL
    array = <ArrowArray *>at
    at += padded(n * sizeof(ArrowArray))
    pointers = <const void **>at
    at += padded((4 * n + 1) * sizeof(void *))
    batch.n_rows = n_rows
    batch.array.length = n_rows
    batch.array.n_buffers = 1
    batch.array.n_children = n
    batch.array.buffers = pointers
    batch.array.children = <ArrowArray **>(pointers + 1)
    batch.array.release = in_block_release
    pointers += 1 + n
    for i in range(n):
        o = &columns[i]
        moved = o[0]                # what a view of the copy is made of
        batch.array.children[i] = array
        array.length = o.length
        array.null_count = o.null_count
        array.buffers = pointers
        array.release = in_block_release
        moved.validity = NULL
        if o.kind != KIND_NULL:
            if o.null_count > 0:
                moved.validity = put_in_block(&at, o.validity, (o.length + 7) >> 3)
            pointers[0] = moved.validity
            array.n_buffers = 2
            if o.kind == KIND_UTF8:
                moved.offsets = <int32_t *>put_in_block(&at, o.offsets, (o.length + 1) * 4)
                pointers[1] = moved.offsets
                array.n_buffers = 3
            moved.values = put_in_block(&at, o.values, values_size(o))
            pointers[array.n_buffers - 1] = moved.values
            pointers += array.n_buffers
        out_view(&moved, &batch.columns[i])
        out_truncate(o, 0)
        array += 1
    return batch


cdef BatchC *out_export(OutColumn *columns, int64_t n, int64_t n_rows) noexcept nogil:
    # All memory first, then the moves: a failure leaves every column to its owner.
    cdef BatchC *batch = out_prepare(columns, n)
    if batch != NULL:
        out_finish(batch, columns, n, n_rows)
    return batch
