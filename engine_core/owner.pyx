"""Which of several workers a row belongs to.

What        a hash of the partition key's values, reduced to the number of workers. Equal keys have equal owners (0.0 and
            -0.0 are equal, so are all NaN, so are two NULLs), however their columns lie in memory: each batch of a
            stream may come in another layout.
Independent of KeyMap: that one's numbers differ from worker to worker; its hash has a seed of its own, so the keys of one
            worker spread over its whole table.
Cost        1 to 2 ns for one number without NULLs, a byte per row for a dictionary (hashed once per value of a batch), 5 to
            10 ns for a string.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from .batch cimport Batch
from .column cimport (KIND_DICT, KIND_F16, KIND_F32, KIND_F64, KIND_FIXED, KIND_I64, KIND_LARGE_UTF8, KIND_NONE, KIND_U64,
                      KIND_UTF8, KIND_UTF8_VIEW, Column, column_bytes, column_f64, column_i64, column_valid, dictionary_code)
from .hash cimport hash_bytes, hash_u64
from .status cimport STATUS_NO_MEMORY, STATUS_OK

cdef enum:
    SEED = 0x746f6373           # one for all: a key's owner is the same in every process
    NULL_KEY = 0x6e756c6c


cdef void owners_free(Owners *o) noexcept nogil:
    free(o.of_code)
    o.of_code = NULL
    o.room = 0


cdef inline uint8_t reduce(uint64_t h, int shares) noexcept nogil:
    """The high half scaled to 0 .. shares - 1: a KeyMap finds its slots by the low bits."""
    return <uint8_t>(((h >> 32) * <uint64_t>shares) >> 32)


cdef inline uint64_t value_hash(const Column *c, int64_t row) noexcept nogil:
    """Of one value, in any layout."""
    cdef const uint8_t *data
    cdef int64_t size
    cdef uint64_t bits
    cdef double x
    cdef bint ok = column_valid(c, row)
    if ok and c.kind == KIND_DICT:
        row = dictionary_code(c, row)
        c = c.dictionary
        ok = column_valid(c, row)
    if not ok:
        return hash_u64(NULL_KEY, SEED + 1)
    if c.kind == KIND_UTF8 or c.kind == KIND_LARGE_UTF8 or c.kind == KIND_UTF8_VIEW:
        column_bytes(c, row, &data, &size)
        return hash_bytes(data, size, SEED)
    if c.kind == KIND_FIXED:
        return hash_bytes(c.values + c.width * row, c.width, SEED)
    if c.kind == KIND_F64 or c.kind == KIND_F32 or c.kind == KIND_F16:
        x = column_f64(c, row)
        bits = 0
        if x != x:
            bits = 0x7ff8000000000000
        elif x != 0.0:
            memcpy(&bits, &x, 8)
        return hash_u64(bits, SEED)
    return hash_u64(<uint64_t>column_i64(c, row), SEED)


cdef int codes_reserve(Owners *o, int64_t size) noexcept nogil:
    cdef void *p
    if size > o.room:
        p = realloc(o.of_code, size)
        if p == NULL:
            return STATUS_NO_MEMORY
        o.of_code = <uint8_t *>p
        o.room = size
    if size:
        memset(o.of_code, OWNERS_MAX, size)
    return STATUS_OK


cdef int owners_find(Owners *o, const Column **columns, int n_columns, const int32_t *rows, int64_t start, int64_t n,
                     int shares, uint8_t *out) noexcept nogil:
    cdef const Column *c = columns[0] if n_columns else NULL
    cdef const uint64_t *numbers
    cdef int64_t i, row, code
    cdef uint64_t h
    cdef int k
    if c == NULL:
        memset(out, 0, n)
        return STATUS_OK
    if n_columns == 1 and (c.kind == KIND_I64 or c.kind == KIND_U64) and c.null_count == 0:
        numbers = <const uint64_t *>c.values
        if rows == NULL:
            for i in range(n):
                out[i] = reduce(hash_u64(numbers[start + i], SEED), shares)
        else:
            for i in range(n):
                out[i] = reduce(hash_u64(numbers[rows[i]], SEED), shares)
        return STATUS_OK
    if n_columns == 1 and c.kind == KIND_DICT and c.dictionary.length <= 2 * n + 64:
        if codes_reserve(o, c.dictionary.length) != STATUS_OK:
            return STATUS_NO_MEMORY
        for i in range(n):
            row = start + i if rows == NULL else rows[i]
            if not column_valid(c, row):
                out[i] = reduce(value_hash(c, row), shares)
                continue
            code = dictionary_code(c, row)
            if o.of_code[code] == OWNERS_MAX:
                o.of_code[code] = reduce(value_hash(c, row), shares)
            out[i] = o.of_code[code]
        return STATUS_OK
    for i in range(n):
        row = start + i if rows == NULL else rows[i]
        h = value_hash(columns[0], row)
        for k in range(1, n_columns):
            h = hash_u64(h ^ value_hash(columns[k], row), SEED + k)
        out[i] = reduce(h, shares)
    return STATUS_OK


cdef bint owners_halve(const Column **columns, int n_columns, int32_t *rows, uint8_t *letters, int64_t n, int shares,
                       int32_t *out_rows, uint8_t *out_letters, int32_t *ends) noexcept nogil:
    cdef const uint64_t *numbers
    cdef int64_t i, first = 0, second = 0, mine
    cdef int32_t row
    cdef uint8_t letter
    if shares != 2 or n_columns != 1 or columns[0].null_count != 0 or (
            columns[0].kind != KIND_I64 and columns[0].kind != KIND_U64):
        return False
    numbers = <const uint64_t *>columns[0].values
    # Each row is written to both sides, and the next one overwrites the wrong one of the two: no branch has to guess.
    if letters == NULL:
        for i in range(n):
            row = rows[i]
            mine = <int64_t>(hash_u64(numbers[row], SEED) >> 63)
            out_rows[first] = row
            rows[second] = row
            first += 1 - mine
            second += mine
    else:
        for i in range(n):
            row = rows[i]
            letter = letters[i]
            mine = <int64_t>(hash_u64(numbers[row], SEED) >> 63)
            out_rows[first] = row
            out_letters[first] = letter
            rows[second] = row
            letters[second] = letter
            first += 1 - mine
            second += mine
        memcpy(out_letters + first, letters, second)
    memcpy(out_rows + first, rows, second * sizeof(int32_t))
    ends[0] = <int32_t>first
    ends[1] = <int32_t>n
    return True


cdef void owners_split(const uint8_t *owners, const int32_t *rows, const uint8_t *letters, int64_t n, int shares,
                       int32_t *out_rows, uint8_t *out_letters, int32_t *ends) noexcept nogil:
    cdef int64_t i
    cdef int32_t at = 0, count
    cdef int k
    memset(ends, 0, shares * sizeof(int32_t))
    for i in range(n):
        ends[owners[i]] += 1
    for k in range(shares):
        count = ends[k]
        ends[k] = at            # for now: where the next row of owner k goes
        at += count
    if letters == NULL:
        for i in range(n):
            out_rows[ends[owners[i]]] = rows[i]
            ends[owners[i]] += 1
        return
    for i in range(n):
        at = ends[owners[i]]
        ends[owners[i]] = at + 1
        out_rows[at] = rows[i]
        out_letters[at] = letters[i]


def value_hashes(Batch batch not None, int column):
    """64 bits for each value of a column; equal values have equal ones, whatever the layout, the batch and the process.

    Args:
        batch: n rows.
        column: its number.

    Returns:
        bytearray, n x 8 bytes (uint64 in the machine's order).

    >>> import pyarrow as pa
    >>> texts = pa.array(["a", "b", None, "a"])
    >>> plain, coded = [value_hashes(Batch.from_arrow(pa.record_batch({"k": k})), 0)
    ...                 for k in (texts, texts.dictionary_encode())]
    >>> plain == coded, plain[:8] == plain[24:], plain[:8] == plain[8:16]
    (True, True, False)
    """
    cdef bytearray out
    cdef uint64_t *hashes
    cdef const Column *c
    cdef int64_t i, n = batch.c.n_rows
    if not 0 <= column < batch.c.n_columns:
        raise IndexError(f"there is no column {column}; there are {batch.c.n_columns}")
    c = &batch.c.columns[column]
    if c.kind == KIND_NONE or (c.kind == KIND_DICT and c.dictionary.kind == KIND_NONE):
        raise TypeError(f"column {column} (Arrow format '{batch.schema.formats[column]}') has no values that can be hashed")
    out = bytearray(8 * n)
    hashes = <uint64_t *><char *>out
    with nogil:
        for i in range(n):
            hashes[i] = value_hash(c, i)
    return out
