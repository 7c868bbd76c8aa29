"""History: the rows of events that some attempt, match or PREV may still read, as growing columns."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from .blob cimport Blob, Reader
from .builder cimport OutColumn
from .column cimport Column

cdef enum:
    NO_ROW = -1                 # no such row
    ROW_UNKNOWN = -2            # a row that has not come yet (the next one of a live partition)

# Rows are numbered 0, 1, ... in the order in which they came; history_collect renumbers those that stay. A row that
# stays keeps its links as far as the rows that they lead to stay too.
cdef struct History:
    int n_columns
    int32_t *sources            # of the batch: which of its columns each of ours is
    OutColumn *columns          # decoded: no dictionaries, utf8 in the plain layout
    Column *views               # the same as kernels read them; refreshed by every append and collection
    int32_t n_rows
    int32_t room
    int64_t *sequence           # of the event, in its stream
    int64_t *time               # of the event, in the unit of its column; 0 where nobody asks
    uint64_t *mask              # which conditions hold on the row
    int32_t *track              # its partition
    int64_t *ordinal            # how many rows of its partition came to the history before it
    int32_t *before             # the row before in its partition, or NO_ROW
    int32_t *behind             # the row behind it, ROW_UNKNOWN, or NO_ROW once the input has ended
    uint8_t *marks              # for history_collect: which rows stay
    int32_t *renumbered         # by history_collect: how many of the rows before this one stayed
    int32_t live                # rows that stayed at the last collection

cdef int history_init(History *h, int n_columns) noexcept nogil
cdef void history_free(History *h) noexcept nogil
# Room for `extra` more rows in the arrays beside the columns. Status.
cdef int history_reserve(History *h, int64_t extra) noexcept nogil
# Appends n rows of a batch (`rows`: row numbers in it), without links, mask and time. The first one's number is what
# h.n_rows was before. On a status other than OK nothing has changed.
cdef int history_append(History *h, const Column *columns, const int32_t *rows, int64_t n, int64_t base_sequence) noexcept nogil
# Keeps the rows with marks[row] != 0, and renumbers links. Status.
cdef int history_collect(History *h) noexcept nogil
cdef void history_save(const History *h, Blob *b) noexcept nogil
cdef int history_restore(History *h, Reader *r) noexcept nogil
# Whether restored rows can be those of partitions 0 .. n_tracks-1 and of events before `next_sequence`, with the links that
# their places in them ask for. Fills in, by partition: its newest row, and the first row from which on none is missing
# up to that one (NO_ROW: it has no rows). How the newest rows' own links behind go on is left to the caller.
cdef bint history_whole(const History *h, int64_t n_tracks, int64_t next_sequence, int32_t *newest,
                        int32_t *unbroken) noexcept nogil

cdef inline int32_t history_walk(const History *h, int32_t row, int64_t physical) noexcept nogil:
    """The row `physical` rows on in the partition (negative: back); NO_ROW, or ROW_UNKNOWN if it may still come."""
    while physical < 0 and row >= 0:
        row = h.before[row]
        physical += 1
    while physical > 0 and row >= 0:
        row = h.behind[row]
        physical -= 1
    return row

cdef inline int32_t history_new_number(const History *h, int32_t row) noexcept nogil:
    """After a collection: what has become of a row number (NO_ROW and ROW_UNKNOWN stay)."""
    if row < 0:
        return row
    return h.renumbered[row] if h.marks[row] else NO_ROW
