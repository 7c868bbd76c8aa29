"""History: rows that outlive their batch, column by column.

What        the events that an attempt may still consume, and those that a condition or a measure may still read. Only
            the columns that somebody reads are kept (all of them for ALL ROWS PER MATCH), decoded, in Arrow layout, so
            that a match's values are gathered into the output like any others.
Layout      one OutColumn per column, and beside them per row: its event's sequence and time, the mask of its conditions,
            and links to its neighbours in the partition, which is how PREV and NEXT find them.
Collection  rows are only ever appended. From time to time the owner marks what is still needed and the rest goes:
            the columns are gathered anew and the rows renumbered. Done when rows have doubled since the last time, it
            costs a constant amount per row.
Invariants  before[row] < row < behind[row], where they are rows; bytes of texts stay below 2^31 per column, rows below 2^31.
Cost        appending: that of out_gather, 1 to 2 ns per value; 49 bytes a row beside the columns.
"""
from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memset

from .blob cimport Blob, Reader, blob_i64, blob_put, reader_count, reader_i64, reader_take
from .builder cimport OutColumn, out_free, out_gather, out_init, out_reserve, out_truncate, out_view
from .column cimport KIND_BOOL, KIND_NULL, KIND_UTF8, Column
from .status cimport STATUS_CAPACITY, STATUS_NO_MEMORY, STATUS_OK, STATUS_STATE


cdef int history_init(History *h, int n_columns) noexcept nogil:
    """`sources` and the kinds of `columns` (out_init) are then the caller's to fill in."""
    memset(h, 0, sizeof(History))
    h.n_columns = n_columns
    h.sources = <int32_t *>calloc(n_columns + 1, sizeof(int32_t))
    h.columns = <OutColumn *>calloc(n_columns + 1, sizeof(OutColumn))
    h.views = <Column *>calloc(n_columns + 1, sizeof(Column))
    if h.sources == NULL or h.columns == NULL or h.views == NULL:
        return STATUS_NO_MEMORY
    return STATUS_OK


cdef void history_free(History *h) noexcept nogil:
    cdef int i
    if h.columns != NULL:
        for i in range(h.n_columns):
            out_free(&h.columns[i])
    free(h.sources)
    free(h.columns)
    free(h.views)
    free(h.sequence)
    free(h.time)
    free(h.mask)
    free(h.track)
    free(h.ordinal)
    free(h.before)
    free(h.behind)
    free(h.marks)
    free(h.renumbered)
    memset(h, 0, sizeof(History))


cdef inline int grow(void **array, int64_t bytes) noexcept nogil:
    cdef void *p = realloc(array[0], bytes)
    if p == NULL:
        return STATUS_NO_MEMORY
    array[0] = p
    return STATUS_OK


cdef int history_reserve(History *h, int64_t extra) noexcept nogil:
    cdef int64_t room
    cdef int status
    if h.n_rows + extra <= h.room:
        return STATUS_OK
    if h.n_rows + extra > INT32_MAX - 64:
        return STATUS_CAPACITY
    room = min(<int64_t>INT32_MAX, max(2 * <int64_t>h.room, h.n_rows + extra) + 64)
    status = grow(<void **>&h.sequence, room * 8)
    if status == STATUS_OK:
        status = grow(<void **>&h.time, room * 8)
    if status == STATUS_OK:
        status = grow(<void **>&h.mask, room * 8)
    if status == STATUS_OK:
        status = grow(<void **>&h.track, room * 4)
    if status == STATUS_OK:
        status = grow(<void **>&h.ordinal, room * 8)
    if status == STATUS_OK:
        status = grow(<void **>&h.before, room * 4)
    if status == STATUS_OK:
        status = grow(<void **>&h.behind, room * 4)
    if status == STATUS_OK:
        status = grow(<void **>&h.marks, room)
    if status == STATUS_OK:
        status = grow(<void **>&h.renumbered, room * 4)
    if status == STATUS_OK:
        h.room = <int32_t>room
    return status


cdef void refresh(History *h) noexcept nogil:
    cdef int i
    for i in range(h.n_columns):
        out_view(&h.columns[i], &h.views[i])


cdef int history_append(History *h, const Column *columns, const int32_t *rows, int64_t n,
                        int64_t base_sequence) noexcept nogil:
    cdef int64_t i
    cdef int c, undone
    cdef int32_t at = h.n_rows
    cdef int status = history_reserve(h, n)
    if status != STATUS_OK or n == 0:
        return status
    for c in range(h.n_columns):
        status = out_gather(&h.columns[c], &columns[h.sources[c]], rows, n)
        if status != STATUS_OK:
            for undone in range(c):
                out_truncate(&h.columns[undone], at)
            refresh(h)
            return status
    for i in range(n):
        h.sequence[at + i] = base_sequence + rows[i]
        h.time[at + i] = 0
        h.mask[at + i] = 0
        h.track[at + i] = 0
        h.ordinal[at + i] = 0
        h.before[at + i] = NO_ROW
        h.behind[at + i] = ROW_UNKNOWN
    h.n_rows += <int32_t>n
    refresh(h)
    return STATUS_OK


cdef int history_collect(History *h) noexcept nogil:
    cdef int32_t row, kept = 0, to
    cdef int c, status = STATUS_OK
    cdef int32_t *rows
    cdef OutColumn *fresh
    for row in range(h.n_rows):
        h.renumbered[row] = kept
        kept += h.marks[row] != 0
    if kept == h.n_rows:
        h.live = kept
        return STATUS_OK
    rows = <int32_t *>malloc((kept + 1) * sizeof(int32_t))
    fresh = <OutColumn *>calloc(h.n_columns + 1, sizeof(OutColumn))
    if rows == NULL or fresh == NULL:
        free(rows)
        free(fresh)
        return STATUS_NO_MEMORY
    kept = 0
    for row in range(h.n_rows):
        if h.marks[row]:
            rows[kept] = row
            kept += 1
    for c in range(h.n_columns):
        out_init(&fresh[c], h.columns[c].kind, h.columns[c].width)
        if status == STATUS_OK:
            status = out_gather(&fresh[c], &h.views[c], rows, kept)
    if status != STATUS_OK:
        for c in range(h.n_columns):
            out_free(&fresh[c])
        free(rows)
        free(fresh)
        return status
    for c in range(h.n_columns):
        out_free(&h.columns[c])
        h.columns[c] = fresh[c]
    for to in range(kept):
        row = rows[to]
        h.sequence[to] = h.sequence[row]
        h.time[to] = h.time[row]
        h.mask[to] = h.mask[row]
        h.track[to] = h.track[row]
        h.ordinal[to] = h.ordinal[row]
        h.before[to] = history_new_number(h, h.before[row])
        h.behind[to] = history_new_number(h, h.behind[row])
    h.n_rows = kept
    h.live = kept
    free(rows)
    free(fresh)
    refresh(h)
    return STATUS_OK


cdef int64_t values_bytes(const OutColumn *o) noexcept nogil:
    if o.kind == KIND_UTF8:
        return o.bytes_used
    if o.kind == KIND_BOOL:
        return (o.length + 7) >> 3
    return o.length * o.width


cdef void history_save(const History *h, Blob *b) noexcept nogil:
    """Everything but the marks. Call it after a collection: what is not needed is not worth its bytes."""
    cdef int i
    cdef const OutColumn *o
    blob_i64(b, h.n_rows)
    blob_put(b, h.sequence, h.n_rows * 8)
    blob_put(b, h.time, h.n_rows * 8)
    blob_put(b, h.mask, h.n_rows * 8)
    blob_put(b, h.track, h.n_rows * 4)
    blob_put(b, h.ordinal, h.n_rows * 8)
    blob_put(b, h.before, h.n_rows * 4)
    blob_put(b, h.behind, h.n_rows * 4)
    for i in range(h.n_columns):
        o = &h.columns[i]
        blob_i64(b, o.null_count)
        if o.null_count and o.kind != KIND_NULL:
            blob_put(b, o.validity, (h.n_rows + 7) >> 3)
        if o.kind == KIND_UTF8:
            blob_i64(b, o.bytes_used)
            if h.n_rows:
                blob_put(b, o.offsets, (h.n_rows + 1) * 4)
        blob_put(b, o.values, values_bytes(o))


cdef int restore_column(OutColumn *o, int64_t n, Reader *r) noexcept nogil:
    """One column of n rows, with every offset and count checked."""
    cdef int64_t i, nulls = reader_i64(r), size, ones = 0
    if r.failed or nulls < 0 or nulls > n:
        return STATUS_STATE
    if n == 0:
        return STATUS_OK if nulls == 0 and (o.kind != KIND_UTF8 or reader_i64(r) == 0) else STATUS_STATE
    if o.kind == KIND_NULL:
        o.length = n
        o.null_count = n
        return STATUS_OK if nulls == n else STATUS_STATE
    # Before memory is asked for: as many bytes as that must be there.
    size = (n + 1) * 4 if o.kind == KIND_UTF8 else (n + 7) >> 3 if o.kind == KIND_BOOL else n * o.width
    if size > r.size - r.at:
        return STATUS_STATE
    if out_reserve(o, n) != STATUS_OK:
        return STATUS_NO_MEMORY
    if nulls:
        o.validity = <uint8_t *>calloc((o.capacity >> 3) + 1, 1)
        if o.validity == NULL:
            return STATUS_NO_MEMORY
        if not reader_take(r, o.validity, (n + 7) >> 3):
            return STATUS_STATE
        for i in range(n):
            ones += (o.validity[i >> 3] >> (i & 7)) & 1
        if n - ones != nulls:
            return STATUS_STATE
    if o.kind == KIND_UTF8:
        size = reader_i64(r)
        if r.failed or size < 0 or size > INT32_MAX or size > r.size - r.at:
            return STATUS_STATE
        if not reader_take(r, o.offsets, (n + 1) * 4) or o.offsets[0] != 0 or o.offsets[n] != size:
            return STATUS_STATE
        for i in range(n):
            if o.offsets[i] > o.offsets[i + 1]:
                return STATUS_STATE
        if grow(<void **>&o.values, size + 64) != STATUS_OK:
            return STATUS_NO_MEMORY
        o.bytes_capacity = size + 64
        o.bytes_used = size
        if not reader_take(r, o.values, size):
            return STATUS_STATE
    else:
        size = (n + 7) >> 3 if o.kind == KIND_BOOL else n * o.width
        if not reader_take(r, o.values, size):
            return STATUS_STATE
    o.length = n
    o.null_count = nulls
    return STATUS_OK


cdef int history_restore(History *h, Reader *r) noexcept nogil:
    """Into an empty history of the same columns, whose links are still to be checked (history_whole). Status; on
    STATUS_STATE it is to be freed."""
    cdef int64_t n = reader_count(r, 44)
    cdef int c, status
    if r.failed or n > INT32_MAX - 64:
        return STATUS_STATE
    status = history_reserve(h, n)
    if status != STATUS_OK:
        return status
    reader_take(r, h.sequence, n * 8)
    reader_take(r, h.time, n * 8)
    reader_take(r, h.mask, n * 8)
    reader_take(r, h.track, n * 4)
    reader_take(r, h.ordinal, n * 8)
    reader_take(r, h.before, n * 4)
    if not reader_take(r, h.behind, n * 4):
        return STATUS_STATE
    for c in range(h.n_columns):
        status = restore_column(&h.columns[c], n, r)
        if status != STATUS_OK:
            return status
    h.n_rows = <int32_t>n
    h.live = h.n_rows
    refresh(h)
    return STATUS_OK


cdef bint history_whole(const History *h, int64_t n_tracks, int64_t next_sequence, int32_t *newest,
                        int32_t *unbroken) noexcept nogil:
    # Neighbours in a partition are linked as long as both are kept; so ordinals say which links there are.
    cdef int32_t row, last, track
    cdef bint linked
    cdef int64_t i
    for i in range(n_tracks):
        newest[i] = unbroken[i] = NO_ROW
    for row in range(h.n_rows):
        track = h.track[row]
        if h.sequence[row] < 0 or h.sequence[row] >= next_sequence or (row and h.sequence[row] <= h.sequence[row - 1]) or \
                not 0 <= track < n_tracks or h.ordinal[row] < 0:
            return False
        last = newest[track]
        if last >= 0 and h.ordinal[last] >= h.ordinal[row]:
            return False
        linked = last >= 0 and h.ordinal[last] + 1 == h.ordinal[row]
        if h.before[row] != (last if linked else NO_ROW):
            return False
        if last >= 0 and h.behind[last] != (row if linked else NO_ROW):
            return False
        if not linked:
            unbroken[track] = row
        newest[track] = row
    return True
