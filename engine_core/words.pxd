"""Row values that outlive their batch: 64-bit words, and the records made of them.

A word is an int64 or uint64, the bits of a double, or a text: up to 7 bytes in the word itself (bit 0 set, size in
bits 1-3), else a pointer to an owned block (size, bytes). Which it is, the value's Type tells; NULLs are bits beside.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from .builder cimport OutColumn, out_push_bytes, out_push_f64, out_push_word, out_push_null
from .column cimport (KIND_DICT, KIND_F64, KIND_I64, KIND_NULL, KIND_U64, Column, column_bytes, column_f64,
                      column_i64, column_valid, dictionary_code)
from .registers cimport TYPE_F64, TYPE_STR
from .status cimport STATUS_NO_MEMORY, STATUS_OK

cdef enum:
    VALUES_MAX = 64             # columns whose values a matcher keeps: one bit each in a record's NULL word

cdef struct ValueColumn:
    int32_t column              # of the batch
    int32_t type                # expression.Type
    const uint64_t *native      # this batch's values, when they are 64 bits wide and none is NULL; else NULL
    int64_t held                # bytes of the texts that values of this column own: a figure

cdef inline int word_text(const uint8_t *data, int64_t size, uint64_t *out) noexcept nogil:
    cdef uint8_t *block
    cdef uint64_t word = 0
    if size <= 7:
        if size:
            memcpy(<uint8_t *>&word + 1, data, size)
        out[0] = word | <uint64_t>(size << 1) | 1
        return STATUS_OK
    block = <uint8_t *>malloc(size + 8)
    if block == NULL:
        return STATUS_NO_MEMORY
    memcpy(block, &size, 8)
    memcpy(block + 8, data, size)
    out[0] = <uint64_t>block
    return STATUS_OK

cdef inline void word_view(const uint64_t *word, const uint8_t **data, int64_t *size) noexcept nogil:
    # The view of a short text points into the word itself, so the word must stay where it is.
    if word[0] & 1:
        size[0] = <int64_t>((word[0] >> 1) & 7)
        data[0] = <const uint8_t *>word + 1
    elif word[0] == 0:
        size[0] = 0
        data[0] = <const uint8_t *>word
    else:
        memcpy(size, <const void *>word[0], 8)
        data[0] = <const uint8_t *>word[0] + 8

cdef inline void word_free(uint64_t word) noexcept nogil:
    if word & 1 == 0 and word != 0:
        free(<void *>word)

cdef inline int64_t word_bytes(uint64_t word) noexcept nogil:
    """What the word of a text owns."""
    cdef int64_t size
    if word & 1 or word == 0:
        return 0
    memcpy(&size, <const void *>word, 8)
    return size + 8

cdef inline void values_bind(ValueColumn *values, int n, const Column *columns) noexcept nogil:
    """Once per batch, before values_read."""
    cdef int i
    cdef const Column *c
    for i in range(n):
        c = &columns[values[i].column]
        values[i].native = NULL
        if c.null_count == 0 and (c.kind == KIND_I64 or c.kind == KIND_F64 or c.kind == KIND_U64):
            values[i].native = <const uint64_t *>c.values

cdef inline int value_read(const ValueColumn *v, const Column *columns, int64_t row, uint64_t *word,
                           bint *null) noexcept nogil:
    """The word of a row's value; a text is copied and then owned by the word."""
    cdef const Column *c = &columns[v.column]
    cdef const uint8_t *data
    cdef int64_t size
    cdef double real
    word[0] = 0
    null[0] = True
    if not column_valid(c, row):
        return STATUS_OK
    if c.kind == KIND_DICT:
        row = dictionary_code(c, row)
        c = c.dictionary
        if not column_valid(c, row):
            return STATUS_OK
    null[0] = False
    if v.type == TYPE_STR:
        column_bytes(c, row, &data, &size)
        return word_text(data, size, word)
    if c.kind == KIND_I64 or c.kind == KIND_F64 or c.kind == KIND_U64:
        word[0] = (<const uint64_t *>c.values)[row]
    elif v.type == TYPE_F64:
        real = column_f64(c, row)
        memcpy(word, &real, 8)
    else:
        word[0] = <uint64_t>column_i64(c, row)
    return STATUS_OK

# A set of values: the NULL bits, then one word per column.
cdef inline int values_read(const ValueColumn *values, int n, const Column *columns, int64_t row,
                            uint64_t *out) noexcept nogil:
    cdef int i, status
    cdef bint null
    out[0] = 0
    for i in range(n):
        if values[i].native != NULL:
            out[1 + i] = values[i].native[row]
            continue
        status = value_read(&values[i], columns, row, &out[1 + i], &null)
        if status != STATUS_OK:
            return status
        if values[i].type == TYPE_STR:
            (<ValueColumn *>values)[i].held += word_bytes(out[1 + i])
        out[0] |= <uint64_t>null << i
    return STATUS_OK

cdef inline void values_free(const ValueColumn *values, int n, uint64_t *words) noexcept nogil:
    cdef int i
    for i in range(n):
        if values[i].type == TYPE_STR:
            (<ValueColumn *>values)[i].held -= word_bytes(words[1 + i])
            word_free(words[1 + i])

cdef inline int word_emit(OutColumn *out, int type, const uint64_t *word) noexcept nogil:
    cdef const uint8_t *data
    cdef int64_t size
    cdef double real
    if type == TYPE_STR:
        word_view(word, &data, &size)
        return out_push_bytes(out, data, size)
    if type == TYPE_F64:
        memcpy(&real, word, 8)
        return out_push_f64(out, real)
    return out_push_word(out, <int64_t>word[0])

cdef inline int values_emit(OutColumn *out, int type, const uint64_t *words, int i) noexcept nogil:
    if (words[0] >> i) & 1:
        return out_push_null(out)
    return word_emit(out, type, &words[1 + i])
