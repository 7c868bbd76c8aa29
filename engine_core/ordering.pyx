"""ORDER BY as a promise about the input: rows come in that order, and the matcher checks it.

What        a matcher reads each row once and never sorts; a row that comes before its predecessor is refused with its
            number, before anything has changed. (match_recognize over a table sorts first.)
Nulls       stand last, or first with NULLS FIRST. WITHIN cannot place a row without a time: that is refused too.
Cost        one comparison per row, in SIMD for the usual key: one 64-bit column that ascends and has no nulls.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from .blob cimport Blob, Reader, blob_i64, blob_put, reader_count, reader_i64
from .column cimport KIND_I64, Column
from .registers cimport TYPE_F64, TYPE_I64, TYPE_STR, TYPE_U64
from .words cimport VALUES_MAX, ValueColumn, values_free, values_read, word_text, word_view
from .status cimport (STATUS_NO_MEMORY, STATUS_NULL_TIME, STATUS_OK, STATUS_STATE, STATUS_UNSORTED, Fault, fault_set)
from .vector cimport Str, compare_sign_str, first_fall


cdef int ordering_bind(Ordering *o, list order, bint timed, bint every, int n_columns) except -1:
    cdef int i
    if len(order) > VALUES_MAX:
        raise ValueError(f"{len(order)} columns in ORDER BY; at most {VALUES_MAX} can be")
    o.columns = <ValueColumn *>calloc(len(order) + 1, sizeof(ValueColumn))
    o.descending = <uint8_t *>calloc(len(order) + 1, 1)
    o.nulls_first = <uint8_t *>calloc(len(order) + 1, 1)
    if o.columns == NULL or o.descending == NULL or o.nulls_first == NULL:
        raise MemoryError("no memory for a matcher")
    for i in range(len(order)):
        o.columns[i].column, o.columns[i].type, o.descending[i], o.nulls_first[i] = order[i]
        if not 0 <= o.columns[i].column < n_columns:
            raise ValueError(f"no column {order[i][0]}")
    if timed and (not order or order[0][1] != TYPE_I64 or order[0][2]):
        raise ValueError("the time must be an ascending 64-bit column")
    o.n = len(order)
    o.time = 0 if timed else -1
    o.every = every
    return 0


cdef int ordering_init(Ordering *o) noexcept nogil:
    o.last = <uint64_t *>calloc(o.n + 1, 8)
    return STATUS_OK if o.last != NULL else STATUS_NO_MEMORY


cdef void ordering_free(Ordering *o) noexcept nogil:
    if o.last != NULL:
        values_free(o.columns, o.n, o.last)
    free(o.columns)
    free(o.descending)
    free(o.nulls_first)
    free(o.last)
    memset(o, 0, sizeof(Ordering))


cdef int words_sign(const Ordering *o, const uint64_t *a, const uint64_t *b) noexcept nogil:
    """-1, 0, 1: how row a stands to row b in the order."""
    cdef int i, sign
    cdef bint x, y
    cdef double p, q
    cdef Str s, t
    for i in range(o.n):
        x = (a[0] >> i) & 1
        y = (b[0] >> i) & 1
        if x or y:
            if x and y:
                continue
            return -1 if x == (o.nulls_first[i] != 0) else 1
        if o.columns[i].type == TYPE_F64:
            memcpy(&p, &a[1 + i], 8)
            memcpy(&q, &b[1 + i], 8)
            # NaN stands above every number, as in the sort of Arrow and of the databases.
            sign = (p > q) - (p < q) if p == p and q == q else (p != p) - (q != q)
        elif o.columns[i].type == TYPE_STR:
            word_view(&a[1 + i], &s.data, &s.size)
            word_view(&b[1 + i], &t.data, &t.size)
            sign = compare_sign_str(s, t)
        elif o.columns[i].type == TYPE_U64:
            sign = (a[1 + i] > b[1 + i]) - (a[1 + i] < b[1 + i])
        else:
            sign = (<int64_t>a[1 + i] > <int64_t>b[1 + i]) - (<int64_t>a[1 + i] < <int64_t>b[1 + i])
        if sign:
            return -sign if o.descending[i] else sign
    return 0


cdef int check_any(const Ordering *o, const Column *columns, int64_t start, int64_t n, bint continues,
                   Fault *fault) noexcept nogil:
    cdef uint64_t *rows = <uint64_t *>calloc(2 * (o.n + 1), 8)
    cdef uint64_t *now
    cdef const uint64_t *before = o.last if continues and o.any else NULL
    cdef int64_t i
    cdef const char *words
    cdef int status = STATUS_OK
    if rows == NULL:
        return STATUS_NO_MEMORY
    if start:
        now = rows + ((start - 1) & 1) * (o.n + 1)
        status = values_read(o.columns, o.n, columns, start - 1, now)
        before = now
    for i in range(start, start + n):
        if status != STATUS_OK:
            break
        now = rows + (i & 1) * (o.n + 1)
        values_free(o.columns, o.n, now)
        memset(now, 0, 8 * (o.n + 1))
        status = values_read(o.columns, o.n, columns, i, now)
        if status != STATUS_OK:
            break
        if o.every and now[0] & 1:
            status = fault_set(fault, STATUS_NULL_TIME, i, o.columns[0].column, 0, 0, NULL)
            break
        if before != NULL and words_sign(o, now, before) < 0:
            # Only whole numbers can be shown by the fault; a NULL, a text or a later key is said in words.
            words = NULL
            if (now[0] | before[0]) & 1:
                words = "NULL"
            elif o.n > 1 or o.columns[0].type != TYPE_I64:
                words = "key"
            status = fault_set(fault, STATUS_UNSORTED, i, o.columns[0].column, <int64_t>now[1], <int64_t>before[1], words)
            break
        if continues and o.time >= 0 and o.has_watermark and now[0] & 1 == 0 and <int64_t>now[1] < o.watermark:
            status = fault_set(fault, STATUS_UNSORTED, i, o.columns[0].column, <int64_t>now[1], o.watermark, "watermark")
            break
        before = now
    values_free(o.columns, o.n, rows)
    values_free(o.columns, o.n, rows + o.n + 1)
    free(rows)
    return status


cdef int ordering_check(const Ordering *o, const Column *columns, int64_t start, int64_t n, bint continues,
                        Fault *fault) noexcept nogil:
    cdef const Column *c
    cdef const int64_t *values
    cdef int64_t row, before
    if o.n == 0 or n == 0:
        return STATUS_OK
    c = &columns[o.columns[0].column]
    if o.n == 1 and c.kind == KIND_I64 and c.null_count == 0 and not o.descending[0] and (not o.any or o.last[0] == 0):
        values = <const int64_t *>c.values + start
        before = (values - 1)[0] if start else (<int64_t>o.last[1] if continues and o.any else values[0])
        row = first_fall(values, n, before)
        if row >= 0:
            return fault_set(fault, STATUS_UNSORTED, start + row, o.columns[0].column, values[row],
                             values[row - 1] if row else before, NULL)
        if continues and o.time >= 0 and o.has_watermark and values[0] < o.watermark:
            return fault_set(fault, STATUS_UNSORTED, start, o.columns[0].column, values[0], o.watermark, "watermark")
        return STATUS_OK
    return check_any(o, columns, start, n, continues, fault)


cdef int ordering_commit(Ordering *o, const Column *columns, int64_t n) noexcept nogil:
    if o.n == 0:
        return STATUS_OK
    values_free(o.columns, o.n, o.last)
    memset(o.last, 0, 8 * (o.n + 1))
    o.any = True
    return values_read(o.columns, o.n, columns, n - 1, o.last)


cdef void ordering_save(const Ordering *o, Blob *b) noexcept nogil:
    cdef int i
    cdef const uint8_t *data
    cdef int64_t size
    blob_i64(b, o.any)
    blob_i64(b, o.has_watermark)
    blob_i64(b, o.watermark)
    blob_i64(b, <int64_t>o.last[0])
    for i in range(o.n):
        if o.columns[i].type == TYPE_STR:
            word_view(&o.last[1 + i], &data, &size)
            blob_i64(b, size)
            blob_put(b, data, size)
        else:
            blob_i64(b, <int64_t>o.last[1 + i])


cdef int ordering_restore(Ordering *o, Reader *r) noexcept nogil:
    cdef int i
    cdef int64_t size
    o.any = reader_i64(r) != 0
    o.has_watermark = reader_i64(r) != 0
    o.watermark = reader_i64(r)
    o.last[0] = <uint64_t>reader_i64(r)
    for i in range(o.n):
        if o.columns[i].type == TYPE_STR:
            size = reader_count(r, 1)
            if r.failed:
                return STATUS_STATE
            if word_text(r.data + r.at, size, &o.last[1 + i]) != STATUS_OK:
                return STATUS_NO_MEMORY
            r.at += size
        else:
            o.last[1 + i] = <uint64_t>reader_i64(r)
    return STATUS_STATE if r.failed else STATUS_OK
