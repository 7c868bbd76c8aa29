"""Merge: the matches that several instances of an operator found, as one batch in the order of one instance.

What        instances that share a batch by partition (operator.pxd) each give their matches in order, and say in two columns
            which event made each certain and whose turn it was. A merge by these gives one list; equal pairs are of one
            instance, which has them in order already. The two columns are taken off.
Cost        where one instance alone has found something, as most often, nothing is copied. Else a comparison per match and
            instance, and a gather per column for each run of matches of one instance.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from .arrow_abi cimport ArrowArray
from .batch cimport BatchC, batch_release
from .builder cimport (KIND_LIST, OutColumn, out_export, out_free, out_gather, out_init, out_push_list, out_push_null,
                       out_reserve)
from .column cimport KIND_F64, KIND_I64, KIND_U64, KIND_UTF8, Column, bit_get
from .operator cimport Operator
from .owner cimport OWNERS_MAX
from .status cimport STATUS_NO_MEMORY, STATUS_OK, Fault, fault_set

cdef enum:
    KEYS = 2                    # columns behind the result's: settled, turn


cdef void drop_keys(BatchC *batch) noexcept nogil:
    """Takes the last columns off a batch that nobody else holds."""
    cdef ArrowArray *child
    cdef int _i
    for _i in range(KEYS):
        batch.n_columns -= 1
        batch.array.n_children -= 1
        child = batch.array.children[batch.array.n_children]
        child.release(child)        # its struct lies in the block of its parent


cdef inline const int64_t *key_column(const BatchC *batch, int key) noexcept nogil:
    return <const int64_t *>batch.columns[batch.n_columns - KEYS + key].values


cdef int find_order(BatchC **parts, int n, uint8_t *which, int32_t *rows) noexcept nogil:
    """For each row of the result: the part that it is of, and its row there."""
    cdef int64_t i = 0
    cdef int64_t *head = <int64_t *>calloc(n, sizeof(int64_t))
    cdef const int64_t **settled = <const int64_t **>calloc(n, sizeof(void *))
    cdef const int64_t **turn = <const int64_t **>calloc(n, sizeof(void *))
    cdef int k, best
    if head == NULL or settled == NULL or turn == NULL:
        free(head)
        free(settled)
        free(turn)
        return STATUS_NO_MEMORY
    for k in range(n):
        settled[k] = key_column(parts[k], 0)
        turn[k] = key_column(parts[k], 1)
    while True:
        best = -1
        for k in range(n):
            if head[k] == parts[k].n_rows:
                continue
            if best < 0 or settled[k][head[k]] < settled[best][head[best]] or (
                    settled[k][head[k]] == settled[best][head[best]] and turn[k][head[k]] < turn[best][head[best]]):
                best = k
        if best < 0:
            break
        which[i] = <uint8_t>best
        rows[i] = <int32_t>head[best]
        head[best] += 1
        i += 1
    free(head)
    free(settled)
    free(turn)
    return STATUS_OK


cdef void child_view(const ArrowArray *array, const OutColumn *like, Column *view) noexcept nogil:
    """The values of all lists of an array that out_export made."""
    memset(view, 0, sizeof(Column))
    view.kind = like.kind
    view.width = like.width
    view.length = array.length
    view.null_count = array.null_count
    view.validity = <const uint8_t *>array.buffers[0] if array.null_count else NULL
    view.values = <const uint8_t *>array.buffers[1]
    if like.kind == KIND_UTF8:
        view.offsets = view.values
        view.data = <const uint8_t *>array.buffers[2]


cdef int gather_lists(OutColumn *out, const ArrowArray *array, const int32_t *rows, int64_t n) noexcept nogil:
    cdef const int32_t *offsets = <const int32_t *>array.buffers[1]
    cdef const uint8_t *validity = <const uint8_t *>array.buffers[0]
    cdef Column values
    cdef int32_t *places = NULL
    cdef int64_t i, k, size, room = 0
    cdef int status = out_reserve(out, n)
    if status != STATUS_OK:
        return status
    child_view(array.children[0], out.child, &values)
    for i in range(n):
        if validity != NULL and not bit_get(validity, rows[i]):
            status = out_push_null(out)
        else:
            size = offsets[rows[i] + 1] - offsets[rows[i]]
            if size > room:
                free(places)
                room = 2 * size
                places = <int32_t *>malloc(room * sizeof(int32_t))
                if places == NULL:
                    return STATUS_NO_MEMORY
            for k in range(size):
                places[k] = offsets[rows[i]] + <int32_t>k
            if size:
                status = out_gather(out.child, &values, places, size)
            if status == STATUS_OK:
                status = out_push_list(out)
        if status != STATUS_OK:
            break
    free(places)
    return status


cdef bint gather_words(OutColumn *out, BatchC **parts, int n_parts, int64_t column, const uint8_t *which,
                       const int32_t *rows, int64_t n) noexcept nogil:
    """PERF: 64-bit values without NULLs, as most are, one after the other: matches of two workers alternate, and a call for
    each run of them would cost ten times as much. False: this column is another one, or there is no memory."""
    cdef const uint64_t *values[OWNERS_MAX]
    cdef uint64_t *to
    cdef int64_t i
    cdef int k
    if out.kind != KIND_I64 and out.kind != KIND_U64 and out.kind != KIND_F64:
        return False
    for k in range(n_parts):
        if parts[k].columns[column].null_count or parts[k].columns[column].kind != out.kind:
            return False
        values[k] = <const uint64_t *>parts[k].columns[column].values
    if out_reserve(out, n) != STATUS_OK:
        return False
    to = <uint64_t *>out.values
    for i in range(n):
        to[i] = values[which[i]][rows[i]]
    out.length = n
    return True


cdef int gather_column(OutColumn *out, BatchC **parts, int n_parts, int64_t column, const uint8_t *which,
                       const int32_t *rows, int64_t n) noexcept nogil:
    cdef int64_t i = 0, end
    cdef BatchC *part
    cdef int status = STATUS_OK
    if gather_words(out, parts, n_parts, column, which, rows, n):
        return STATUS_OK
    while i < n and status == STATUS_OK:
        end = i + 1
        while end < n and which[end] == which[i]:
            end += 1
        part = parts[which[i]]
        if out.kind == KIND_LIST:
            status = gather_lists(out, part.array.children[column], rows + i, end - i)
        else:
            status = out_gather(out, &part.columns[column], rows + i, end - i)
        i = end
    return status


cdef BatchC *merge_matches(Operator operator, BatchC **parts, int n, Fault *fault) noexcept nogil:
    cdef int64_t n_rows = 0, n_columns = parts[0].n_columns - KEYS, i
    cdef uint8_t *which
    cdef int32_t *rows
    cdef OutColumn *columns
    cdef BatchC *out = NULL
    cdef int32_t kind, width
    cdef int status
    if n == 1:
        drop_keys(parts[0])
        return parts[0]
    for i in range(n):
        n_rows += parts[i].n_rows
    which = <uint8_t *>malloc(n_rows)
    rows = <int32_t *>malloc(n_rows * sizeof(int32_t))
    columns = <OutColumn *>calloc(n_columns + 1, sizeof(OutColumn))
    status = STATUS_OK if which != NULL and rows != NULL and columns != NULL else STATUS_NO_MEMORY
    if status == STATUS_OK:
        status = find_order(parts, n, which, rows)
    for i in range(n_columns):
        if status == STATUS_OK:
            operator.layout(<int>i, &kind, &width)
            out_init(&columns[i], kind, width)
            status = gather_column(&columns[i], parts, n, i, which, rows, n_rows)
    if status == STATUS_OK:
        out = out_export(columns, n_columns, n_rows)
    if out == NULL:
        fault_set(fault, status if status != STATUS_OK else STATUS_NO_MEMORY, -1, -1, 0, 0, "the matches of several workers")
        for i in range(n_columns if columns != NULL else 0):
            out_free(&columns[i])
    for i in range(n):
        batch_release(parts[i])
    free(which)
    free(rows)
    free(columns)
    return out
