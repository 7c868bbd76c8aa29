"""Open batches: the columns that rows are copied to while a batch lies open in the ring (protocol: open_batch.hpp).

    [Content][OutColumn x n]      one block; `batch` is made beforehand (out_prepare) and owned by the slot

Appending copies columns of views (builder.pyx: out_gather), so events given as dicts and tiny Arrow batches join alike, and
text comes in any layout. Closing moves the buffers into the batch and cannot fail.

Cost of a row that joins: ~15 ns a column; of a batch that is opened: as any batch of rows, and 0.1 us.
"""
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free

from .batch cimport BatchC, batch_release
from .builder cimport OutColumn, out_finish, out_free, out_gather, out_init, out_prepare, out_truncate
from .column cimport Column
from .status cimport STATUS_OK

cdef struct Content:
    int64_t n
    OutColumn *columns
    BatchC *batch

cdef int32_t FIRST_ROWS[OPEN_ROWS_MAX]
cdef int32_t _row
for _row in range(OPEN_ROWS_MAX):
    FIRST_ROWS[_row] = _row


cdef void content_finish(void *content, int64_t rows) noexcept nogil:
    cdef Content *c = <Content *>content
    out_finish(c.batch, c.columns, c.n, rows)


cdef void content_destroy(void *content, int64_t rows) noexcept nogil:
    cdef Content *c = <Content *>content
    cdef int64_t i
    for i in range(c.n):
        out_free(&c.columns[i])     # empty, unless nobody ever closed the batch
    free(c)


cdef Content *content_new(const OutColumn *like, int64_t n) noexcept nogil:
    cdef int64_t i
    cdef Content *c = <Content *>calloc(1, sizeof(Content) + n * sizeof(OutColumn))
    if c != NULL:
        c.n = n
        c.columns = <OutColumn *>(c + 1)
        for i in range(n):
            out_init(&c.columns[i], like[i].kind, like[i].width)
    return c


cdef int copy_rows(OutColumn *to, const Column *columns, int64_t n, int64_t rows) noexcept nogil:
    """All or nothing; a status."""
    cdef int64_t i, k
    cdef int64_t before = to[0].length if n > 0 else 0
    cdef int status
    for i in range(n):
        status = out_gather(&to[i], &columns[i], FIRST_ROWS, rows)
        if status != STATUS_OK:
            for k in range(i):
                out_truncate(&to[k], before)
            return status
    return STATUS_OK


cdef OpenBatch *open_begin(OutColumn *columns, int64_t n, int64_t rows, int64_t time, BatchC **batch) noexcept nogil:
    cdef int64_t i
    cdef OpenBatch *open = NULL
    cdef Content *c = content_new(columns, n)
    if c == NULL:
        return NULL
    c.batch = out_prepare(columns, n)
    if c.batch != NULL:
        open = OpenBatch.make(c, content_finish, content_destroy, rows, time)
    if open == NULL:
        batch_release(c.batch)
        free(c)
        return NULL
    for i in range(n):
        c.columns[i] = columns[i]
        out_init(&columns[i], c.columns[i].kind, c.columns[i].width)
    batch[0] = c.batch
    return open


cdef OpenBatch *open_copy(const OutColumn *like, const Column *columns, int64_t n, int64_t rows, int64_t time,
                          BatchC **batch) noexcept nogil:
    cdef int64_t i
    cdef OpenBatch *open = NULL
    cdef Content *c = content_new(like, n)
    if c == NULL:
        return NULL
    if copy_rows(c.columns, columns, n, rows) == STATUS_OK:
        open = open_begin(c.columns, n, rows, time, batch)
    for i in range(n):
        out_free(&c.columns[i])
    free(c)
    return open


cdef bint open_append(OpenBatch *open, const Column *columns, int64_t n, int64_t rows, int64_t time) noexcept nogil:
    cdef Content *c = <Content *>open.content()
    if not open.begin_append():
        return False
    if copy_rows(c.columns, columns, n, rows) != STATUS_OK:
        # As if it were full: the rows go into a batch of their own, which says what is wrong if something is.
        open.end_append(0, open.time())
        return False
    open.end_append(rows, time)
    return True
