"""PREV(x, n) inside the partition: what a row n places before this one, in its partition, had in column x.

What        per partition and column a ring of the last `depth` values; a row reads the cells it asks for, then writes its
            own value over the oldest. So PREV costs one cell per partition, whatever the stream's length.
Texts       a value that comes from the batch under way is only pointed at; when the batch is done, what is still
            remembered is copied (lag_commit), so a text costs one copy per partition and batch, not per row.
Undo        if the conditions can fault (integer arithmetic), a batch must be able to leave no trace: a large batch begins
            with a copy of all cells, a small one notes each cell that it overwrites (whichever is less memory).
Invariants  cells that were never written have valid = 0, which is PREV's NULL before the partition's first row.
Cost        1 to 2 ns per row and column while the cells fit the cache.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from .blob cimport Blob, Reader, blob_i64, blob_put, reader_count, reader_i64, reader_take
from .column cimport (KIND_DICT, KIND_F64, KIND_I64, KIND_U64, Column, column_bytes, column_f64, column_i64,
                      column_valid, dictionary_code)
from .registers cimport CHUNK, TYPE_BOOL, TYPE_F64, TYPE_STR
from .status cimport STATUS_CAPACITY, STATUS_NO_MEMORY, STATUS_OK, STATUS_STATE
from .vector cimport Str


cdef int lag_init(LagTable *t) noexcept nogil:
    """`columns`, `outputs` and keep_changes are set by the caller; this gives the outputs their vectors."""
    cdef int i
    for i in range(t.n_outputs):
        t.outputs[i].data = calloc(CHUNK, 16)
        t.outputs[i].valid = <uint8_t *>calloc(CHUNK, 1)
        if t.outputs[i].data == NULL or t.outputs[i].valid == NULL:
            return STATUS_NO_MEMORY
    return STATUS_OK


cdef void lag_free(LagTable *t) noexcept nogil:
    cdef int i
    cdef int64_t k
    for k in range(t.n_changes):
        if t.changes[k].before.owned:
            free(<void *>t.changes[k].before.word)
    for i in range(t.n_columns):
        if t.columns[i].type == TYPE_STR:
            for k in range(t.room * t.columns[i].depth):
                if t.columns[i].cells[k].owned:
                    free(<void *>t.columns[i].cells[k].word)
        free(t.columns[i].cells)
        free(t.columns[i].at)
    for i in range(t.n_outputs):
        free(t.outputs[i].data)
        free(t.outputs[i].valid)
    free(t.columns)
    free(t.outputs)
    free(t.changes)
    free(t.stepped)
    free(t.snapshot)
    memset(t, 0, sizeof(LagTable))


cdef int lag_reserve(LagTable *t, int64_t n_partitions) noexcept nogil:
    cdef int64_t room
    cdef int i
    cdef LagColumn *c
    cdef void *p
    if n_partitions <= t.room:
        return STATUS_OK
    room = 2 * n_partitions + 64
    for i in range(t.n_columns):
        c = &t.columns[i]
        p = realloc(c.cells, room * c.depth * sizeof(Cell))
        if p == NULL:
            return STATUS_NO_MEMORY
        c.cells = <Cell *>p
        memset(c.cells + t.room * c.depth, 0, (room - t.room) * c.depth * sizeof(Cell))
        if c.depth > 1:
            p = realloc(c.at, room * sizeof(uint32_t))
            if p == NULL:
                return STATUS_NO_MEMORY
            c.at = <uint32_t *>p
            memset(c.at + t.room, 0, (room - t.room) * sizeof(uint32_t))
    t.room = room
    return STATUS_OK


cdef int64_t snapshot_bytes(const LagTable *t, int64_t n_partitions) noexcept nogil:
    cdef int64_t bytes = 0
    cdef int i
    for i in range(t.n_columns):
        bytes += n_partitions * t.columns[i].depth * sizeof(Cell)
        if t.columns[i].depth > 1:
            bytes += n_partitions * sizeof(uint32_t)
    return bytes


cdef int lag_begin(LagTable *t, int64_t n_rows, int64_t n_partitions) noexcept nogil:
    cdef int64_t bytes, at = 0, part
    cdef int i
    cdef void *p
    if n_partitions > t.room:       # the rest has no cells yet
        n_partitions = t.room
    bytes = snapshot_bytes(t, n_partitions)
    t.undoable = t.keep_changes
    t.snapshot_partitions = -1
    if not t.keep_changes or bytes > n_rows * <int64_t>sizeof(Change):
        return STATUS_OK
    for i in range(t.n_columns):
        if t.columns[i].type == TYPE_STR:       # its cells own memory, which a copy would not
            return STATUS_OK
    if bytes > t.snapshot_room:
        p = realloc(t.snapshot, bytes)
        if p == NULL:
            return STATUS_NO_MEMORY
        t.snapshot = <uint8_t *>p
        t.snapshot_room = bytes
    for i in range(t.n_columns):
        part = n_partitions * t.columns[i].depth * sizeof(Cell)
        if part:
            memcpy(t.snapshot + at, t.columns[i].cells, part)
        at += part
        if t.columns[i].depth > 1:
            part = n_partitions * sizeof(uint32_t)
            if part:
                memcpy(t.snapshot + at, t.columns[i].at, part)
            at += part
    t.undoable = False
    t.snapshot_partitions = n_partitions
    return STATUS_OK


cdef void snapshot_put_back(LagTable *t) noexcept nogil:
    cdef int64_t at = 0, part, n = t.snapshot_partitions
    cdef int i
    cdef LagColumn *c
    for i in range(t.n_columns):
        c = &t.columns[i]
        part = n * c.depth * sizeof(Cell)
        if part:
            memcpy(c.cells, t.snapshot + at, part)
        if t.room > n:                  # a worker without partitions has no memory at all
            memset(c.cells + n * c.depth, 0, (t.room - n) * c.depth * sizeof(Cell))
        at += part
        if c.depth > 1:
            part = n * sizeof(uint32_t)
            if part:
                memcpy(c.at, t.snapshot + at, part)
            if t.room > n:
                memset(c.at + n, 0, (t.room - n) * sizeof(uint32_t))
            at += part


cdef inline void cell_read(const Cell *cell, int type, LagOutput *out, int64_t i) noexcept nogil:
    out.valid[i] = cell.valid
    if type == TYPE_STR:
        (<Str *>out.data)[i].data = <const uint8_t *>cell.word
        (<Str *>out.data)[i].size = cell.size if cell.valid else 0
    elif type == TYPE_BOOL:
        (<uint8_t *>out.data)[i] = <uint8_t>cell.word
    else:
        (<uint64_t *>out.data)[i] = cell.word


cdef inline int cell_value(Cell *cell, const Column *c, int type, int64_t row) noexcept nogil:
    cdef const uint8_t *data
    cdef int64_t size
    cdef double real
    cell.word = 0
    cell.size = 0
    cell.owned = 0
    cell.valid = column_valid(c, row)
    if cell.valid and c.kind == KIND_DICT:
        row = dictionary_code(c, row)
        c = c.dictionary
        cell.valid = column_valid(c, row)
    if not cell.valid:
        return STATUS_OK
    if type == TYPE_STR:
        column_bytes(c, row, &data, &size)
        if size > 0x7fffffff:
            cell.valid = 0
            return STATUS_CAPACITY
        cell.word = <uint64_t>data
        cell.size = <int32_t>size
    elif type == TYPE_F64:
        real = column_f64(c, row)
        memcpy(&cell.word, &real, 8)
    else:
        cell.word = <uint64_t>column_i64(c, row)
    return STATUS_OK


cdef int note(LagTable *t, int lag, int64_t at, const Cell *before) noexcept nogil:
    cdef int64_t room
    cdef void *p
    if t.n_changes == t.changes_room:
        room = 2 * t.changes_room + 256
        p = realloc(t.changes, room * sizeof(Change))
        if p == NULL:
            return STATUS_NO_MEMORY
        t.changes = <Change *>p
        t.changes_room = room
    t.changes[t.n_changes].lag = lag
    t.changes[t.n_changes].cell = <uint32_t>at
    t.changes[t.n_changes].before = before[0]
    t.n_changes += 1
    return STATUS_OK


cdef int run_column(LagTable *t, int lag, const Column *c, const int32_t *rows, const uint32_t *partitions,
                    int64_t start, int64_t n) noexcept nogil:
    """Any column, any depth."""
    cdef LagColumn *own = &t.columns[lag]
    cdef int64_t i, base, at
    cdef int k, status
    cdef uint32_t depth = own.depth, position
    cdef Cell *cell
    for i in range(n):
        base = <int64_t>partitions[i] * depth
        position = own.at[partitions[i]] if depth > 1 else 0
        for k in range(t.n_outputs):
            if t.outputs[k].lag == lag:
                # `position` is the oldest cell, the one before it the newest.
                at = base + (position + depth - t.outputs[k].offset) % depth
                cell_read(&own.cells[at], own.type, &t.outputs[k], i)
        cell = &own.cells[base + position]
        if t.undoable or own.type == TYPE_STR:
            status = note(t, lag, base + position, cell)
            if status != STATUS_OK:
                return status
        status = cell_value(cell, c, own.type, start + i if rows == NULL else rows[i])
        if status != STATUS_OK:
            return status
        if depth > 1:
            own.at[partitions[i]] = (position + 1) % depth
    return STATUS_OK


cdef void run_plain(LagTable *t, int lag, LagOutput *out, const uint64_t *values, const int32_t *rows,
                    const uint32_t *partitions, int64_t n) noexcept nogil:
    """PERF: PREV(x) of a 64-bit column without nulls, when nothing needs to be undone: the usual case."""
    cdef Cell *cells = t.columns[lag].cells
    cdef Cell *cell
    cdef uint64_t *data = <uint64_t *>out.data
    cdef int64_t i
    for i in range(n):
        cell = &cells[partitions[i]]
        data[i] = cell.word
        out.valid[i] = cell.valid
        cell.word = values[i] if rows == NULL else values[rows[i]]
        cell.valid = 1


cdef int lag_run(LagTable *t, const Column *columns, const int32_t *rows, const uint32_t *partitions, int64_t start,
                 int64_t n) noexcept nogil:
    cdef int lag, k, readers, status
    cdef LagOutput *only = NULL
    cdef const Column *c
    cdef int64_t room
    cdef void *p
    if t.undoable:
        if t.n_stepped + n > t.stepped_room:
            room = 2 * (t.n_stepped + n)
            p = realloc(t.stepped, room * sizeof(uint32_t))
            if p == NULL:
                return STATUS_NO_MEMORY
            t.stepped = <uint32_t *>p
            t.stepped_room = room
        memcpy(t.stepped + t.n_stepped, partitions, n * sizeof(uint32_t))
        t.n_stepped += n
    for lag in range(t.n_columns):
        c = &columns[t.columns[lag].column]
        readers = 0
        for k in range(t.n_outputs):
            if t.outputs[k].lag == lag:
                readers += 1
                only = &t.outputs[k]
        if readers == 1 and t.columns[lag].depth == 1 and not t.undoable and c.null_count == 0 and \
                (c.kind == KIND_I64 or c.kind == KIND_F64 or c.kind == KIND_U64):
            run_plain(t, lag, only, <const uint64_t *>c.values + (start if rows == NULL else 0), rows, partitions, n)
            continue
        status = run_column(t, lag, c, rows, partitions, start, n)
        if status != STATUS_OK:
            return status
    return STATUS_OK


cdef int lag_commit(LagTable *t) noexcept nogil:
    cdef int64_t i
    cdef Change *change
    cdef Cell *cell
    cdef uint8_t *text
    for i in range(t.n_changes):
        change = &t.changes[i]
        if t.columns[change.lag].type != TYPE_STR:
            continue
        if change.before.owned:
            t.text_bytes -= change.before.size + 1
            free(<void *>change.before.word)
        cell = &t.columns[change.lag].cells[change.cell]
        if cell.valid and not cell.owned:
            text = <uint8_t *>malloc(cell.size + 1)
            if text == NULL:
                return STATUS_NO_MEMORY
            if cell.size:
                memcpy(text, <const void *>cell.word, cell.size)
            cell.word = <uint64_t>text
            cell.owned = 1
            t.text_bytes += cell.size + 1
    t.n_changes = 0
    t.n_stepped = 0
    return STATUS_OK


cdef void lag_undo(LagTable *t) noexcept nogil:
    cdef int64_t i
    cdef int lag
    cdef LagColumn *own
    if t.snapshot_partitions >= 0:
        snapshot_put_back(t)        # then no change was noted
        return
    for i in range(t.n_changes - 1, -1, -1):
        t.columns[t.changes[i].lag].cells[t.changes[i].cell] = t.changes[i].before
    for lag in range(t.n_columns):
        own = &t.columns[lag]
        if own.depth > 1:
            for i in range(t.n_stepped):
                own.at[t.stepped[i]] = (own.at[t.stepped[i]] + own.depth - 1) % own.depth
    t.n_changes = 0
    t.n_stepped = 0


cdef void lag_save(const LagTable *t, int64_t n_partitions, Blob *b) noexcept nogil:
    """Per column and partition the cells from the oldest to the newest."""
    cdef int lag
    cdef int64_t i, k
    cdef const LagColumn *own
    cdef const Cell *cell
    for lag in range(t.n_columns):
        own = &t.columns[lag]
        for i in range(n_partitions):
            for k in range(own.depth):
                cell = &own.cells[i * own.depth + ((own.at[i] + k) % own.depth if own.depth > 1 else 0)]
                blob_put(b, &cell.valid, 1)
                if not cell.valid:
                    continue
                if own.type == TYPE_STR:
                    blob_i64(b, cell.size)
                    blob_put(b, <const void *>cell.word, cell.size)
                else:
                    blob_i64(b, <int64_t>cell.word)


cdef int lag_restore(LagTable *t, int64_t n_partitions, Reader *r) noexcept nogil:
    """Into a fresh table reserved for n_partitions."""
    cdef int lag
    cdef int64_t i, size
    cdef LagColumn *own
    cdef Cell *cell
    cdef uint8_t *text
    for lag in range(t.n_columns):
        own = &t.columns[lag]
        for i in range(n_partitions * own.depth):
            cell = &own.cells[i]
            reader_take(r, &cell.valid, 1)
            if r.failed or cell.valid > 1:
                cell.valid = 0
                return STATUS_STATE
            if not cell.valid:
                continue
            if own.type != TYPE_STR:
                cell.word = <uint64_t>reader_i64(r)
                continue
            size = reader_count(r, 1)
            if r.failed or size > 0x7fffffff:
                cell.valid = 0
                return STATUS_STATE
            text = <uint8_t *>malloc(size + 1)
            if text == NULL:
                cell.valid = 0
                return STATUS_NO_MEMORY
            reader_take(r, text, size)
            cell.word = <uint64_t>text
            cell.size = <int32_t>size
            cell.owned = 1
            t.text_bytes += size + 1
    return STATUS_STATE if r.failed else STATUS_OK
