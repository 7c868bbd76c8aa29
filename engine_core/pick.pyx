"""Chosen rows of a column as an input of an expression program, a chunk at a time.

What        a worker that owns some rows of a batch evaluates conditions over those rows alone. Numbers, booleans and codes
            of dictionaries are gathered into a column of their own, so that the program reads them as it reads any column;
            of strings only the places are noted.
Cost        about 1 ns per row and column, 3 ns for a string.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from .bits cimport bits_gather
from .column cimport (KIND_BOOL, KIND_DICT, KIND_F16, KIND_I16, KIND_I32, KIND_I8, KIND_NULL, KIND_U16, KIND_U32, KIND_U8,
                      KIND_F32, Column, column_bytes, column_valid, dictionary_code)
from .registers cimport CHUNK, Input
from .status cimport STATUS_NO_MEMORY, STATUS_OK
from .vector cimport Str


cdef inline int width_of(int kind) noexcept nogil:
    if kind == KIND_I8 or kind == KIND_U8:
        return 1
    if kind == KIND_I16 or kind == KIND_U16 or kind == KIND_F16:
        return 2
    if kind == KIND_I32 or kind == KIND_U32 or kind == KIND_F32:
        return 4
    return 8


cdef int pick_init(Pick *p, bint text) noexcept nogil:
    memset(p, 0, sizeof(Pick))
    p.text = text
    p.values = <uint8_t *>malloc(CHUNK * 16)
    p.valid = <uint8_t *>malloc(CHUNK)
    return STATUS_OK if p.values != NULL and p.valid != NULL else STATUS_NO_MEMORY


cdef void pick_free(Pick *p) noexcept nogil:
    free(p.values)
    free(p.valid)
    p.values = p.valid = NULL


cdef void pick_bind(Pick *p, const Column *source, Input *input) noexcept nogil:
    if p.text:
        input.column = NULL
        input.vec.data = p.values
        input.vec.valid = p.valid
        input.vec.err = NULL
        input.vec.scalar = False
        input.vec.narrow = NULL
        return
    p.column = source[0]
    p.column.bit_offset = 0
    p.column.values = p.values
    p.column.validity = p.valid
    input.column = &p.column


cdef void pick_texts(Pick *p, const Column *source, const int32_t *rows, int64_t n) noexcept nogil:
    cdef Str *out = <Str *>p.values
    cdef const Column *values
    cdef int64_t i, at
    cdef bint ok
    for i in range(n):
        at = rows[i]
        values = source
        ok = column_valid(source, at)
        if ok and source.kind == KIND_DICT:
            at = dictionary_code(source, at)
            values = source.dictionary
            ok = column_valid(values, at)
        if ok:
            column_bytes(values, at, &out[i].data, &out[i].size)
        else:
            out[i].data = NULL
            out[i].size = 0
        p.valid[i] = ok


cdef void pick_rows(Pick *p, const Column *source, const int32_t *rows, int64_t n) noexcept nogil:
    cdef int64_t i
    cdef int width
    if p.text:
        pick_texts(p, source, rows, n)
        return
    p.column.length = n
    p.column.null_count = 0
    if source.kind == KIND_NULL:
        p.column.null_count = n
        return
    if source.null_count:
        p.column.null_count = n - bits_gather(p.valid, 0, source.validity, source.bit_offset, rows, n)
    if source.kind == KIND_BOOL:
        bits_gather(p.values, 0, source.values, source.bit_offset, rows, n)
        return
    width = width_of(source.index_kind if source.kind == KIND_DICT else source.kind)
    if width == 8:
        for i in range(n):
            (<uint64_t *>p.values)[i] = (<const uint64_t *>source.values)[rows[i]]
    elif width == 4:
        for i in range(n):
            (<uint32_t *>p.values)[i] = (<const uint32_t *>source.values)[rows[i]]
    elif width == 2:
        for i in range(n):
            (<uint16_t *>p.values)[i] = (<const uint16_t *>source.values)[rows[i]]
    else:
        for i in range(n):
            p.values[i] = source.values[rows[i]]
