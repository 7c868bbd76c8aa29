"""Column: a typed, borrowed view of one Arrow array, and its inline readers.

A view owns nothing: the batch that it was taken from keeps the buffers alive. `offset` of the Arrow array
is already folded in for fixed-width values (`values` points at row 0) and stays explicit for bits.
Readers do not check bounds or nulls: callers hold 0 <= i < length and ask `column_valid` first.
"""
from libc.stdint cimport (int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t)
from libc.string cimport memcpy

cdef enum Kind:
    KIND_NONE = 0       # a type the kernels cannot read (carried, never touched)
    KIND_BOOL = 1
    KIND_I8 = 2
    KIND_I16 = 3
    KIND_I32 = 4
    KIND_I64 = 5
    KIND_U8 = 6
    KIND_U16 = 7
    KIND_U32 = 8
    KIND_U64 = 9
    KIND_F16 = 10
    KIND_F32 = 11
    KIND_F64 = 12
    KIND_UTF8 = 13          # int32 offsets (utf8 and binary)
    KIND_LARGE_UTF8 = 14    # int64 offsets
    KIND_UTF8_VIEW = 15     # 16-byte views
    KIND_FIXED = 16         # other fixed width: `width` bytes (decimal128, fixed_size_binary, interval ...)
    KIND_DICT = 17          # indices of `index_kind` into `dictionary`
    KIND_NULL = 18          # Arrow null type: every row is null

cdef struct Column:
    int32_t kind
    int32_t index_kind          # for KIND_DICT: KIND_I8 .. KIND_U64
    int32_t width               # bytes per value for fixed width kinds, else 0
    int32_t _pad
    int64_t length
    int64_t bit_offset          # Arrow offset: bit position of row 0 in `validity` (and in `values` for bool)
    int64_t null_count          # exact: 0 means `validity` need not be read
    const uint8_t *validity     # NULL when null_count == 0
    const uint8_t *values       # row 0 (fixed width, views, dictionary indices); bit buffer for bool
    const uint8_t *offsets      # row 0 of the offsets (utf8 kinds)
    const uint8_t *data         # utf8 bytes
    const void **variadic       # data buffers of a view column
    int64_t n_variadic
    Column *dictionary

cdef inline bint bit_get(const uint8_t *bits, int64_t i) noexcept nogil:
    return (bits[i >> 3] >> (i & 7)) & 1

cdef inline bint column_valid(const Column *c, int64_t i) noexcept nogil:
    # Of the row itself; a dictionary value may be null too: see dictionary_valid.
    if c.kind == KIND_NULL:
        return False
    if c.null_count == 0:
        return True
    return bit_get(c.validity, c.bit_offset + i)

cdef inline int64_t index_read(int kind, const uint8_t *values, int64_t i) noexcept nogil:
    if kind == KIND_I32:
        return (<const int32_t *>values)[i]
    elif kind == KIND_U32:
        return (<const uint32_t *>values)[i]
    elif kind == KIND_I8:
        return (<const int8_t *>values)[i]
    elif kind == KIND_U8:
        return (<const uint8_t *>values)[i]
    elif kind == KIND_I16:
        return (<const int16_t *>values)[i]
    elif kind == KIND_U16:
        return (<const uint16_t *>values)[i]
    return (<const int64_t *>values)[i]

cdef inline int64_t dictionary_code(const Column *c, int64_t i) noexcept nogil:
    return index_read(c.index_kind, c.values, i)

cdef inline bint dictionary_valid(const Column *c, int64_t i) noexcept nogil:
    # Of a KIND_DICT column: the row is there, and so is the value it points at. The code of a null row is
    # whatever the producer left there: it may lie outside the dictionary.
    return column_valid(c, i) and column_valid(c.dictionary, dictionary_code(c, i))

cdef inline int64_t column_i64(const Column *c, int64_t i) noexcept nogil:
    """Integers, dates, times, durations and bool as int64 (uint64 keeps its bits)."""
    if c.kind == KIND_I64 or c.kind == KIND_U64:
        return (<const int64_t *>c.values)[i]
    elif c.kind == KIND_BOOL:
        return bit_get(c.values, c.bit_offset + i)
    return index_read(c.kind, c.values, i)

cdef inline int64_t column_time(const Column *c, int64_t i) noexcept nogil:
    """column_i64, also of a dictionary of such values; the row must be valid."""
    if c.kind == KIND_DICT:
        return column_i64(c.dictionary, dictionary_code(c, i))
    return column_i64(c, i)

cdef extern from "half.hpp" nogil:
    double half_to_double(uint16_t bits) noexcept

cdef inline double column_f64(const Column *c, int64_t i) noexcept nogil:
    if c.kind == KIND_F64:
        return (<const double *>c.values)[i]
    elif c.kind == KIND_F32:
        return (<const float *>c.values)[i]
    return half_to_double((<const uint16_t *>c.values)[i])

cdef inline void column_bytes(const Column *c, int64_t i, const uint8_t **out, int64_t *size) noexcept nogil:
    """The bytes of a utf8 or binary value of any layout (not of a dictionary)."""
    cdef int64_t start
    cdef const uint8_t *view
    cdef int32_t parts[4]
    if c.kind == KIND_UTF8:
        start = (<const int32_t *>c.offsets)[i]
        size[0] = (<const int32_t *>c.offsets)[i + 1] - start
        out[0] = c.data + start
    elif c.kind == KIND_LARGE_UTF8:
        start = (<const int64_t *>c.offsets)[i]
        size[0] = (<const int64_t *>c.offsets)[i + 1] - start
        out[0] = c.data + start
    else:
        view = c.values + 16 * i
        memcpy(parts, view, 16)
        size[0] = parts[0]
        if parts[0] <= 12:
            out[0] = view + 4
        else:
            out[0] = <const uint8_t *>c.variadic[parts[2]] + parts[3]
