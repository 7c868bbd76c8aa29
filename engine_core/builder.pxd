"""OutColumn: a growing output column in Arrow layout; out_export turns a set of them into a BatchC."""
from libc.stdint cimport int32_t, int64_t, uint8_t
from .arrow_abi cimport ArrowArray
from .batch cimport BatchC
from .column cimport KIND_F64, Column
from .status cimport STATUS_OK

cdef enum:
    KIND_LIST = 64          # an output column only: no kernel reads lists, so column.Kind has none

cdef struct OutColumn:
    int32_t kind            # KIND_BOOL (bits), fixed widths, KIND_FIXED with `width`, KIND_UTF8, KIND_NULL, KIND_LIST
    int32_t width           # bytes per value; 0 for bool, utf8, null and lists
    int64_t length
    int64_t capacity        # rows that values/validity/offsets have room for
    int64_t null_count
    uint8_t *values         # malloc'ed; utf8 bytes for KIND_UTF8
    uint8_t *validity       # malloc'ed bits, NULL until the first null
    int32_t *offsets        # malloc'ed, capacity + 1, KIND_UTF8 and KIND_LIST only
    int64_t bytes_used      # KIND_UTF8
    int64_t bytes_capacity
    OutColumn *child        # KIND_LIST: the values of all lists; made by the first reservation
    int32_t child_kind
    int32_t child_width

# Every function that returns an int returns a Status; on any but STATUS_OK the column is as it was.
# `width` is read for KIND_FIXED only. A column of lists: `kind` is list_kind(kind of the values), `width` the values'.
cdef void out_init(OutColumn *o, int kind, int width) noexcept nogil
cdef void out_free(OutColumn *o) noexcept nogil                       # frees buffers, leaves it empty, reusable
cdef void out_truncate(OutColumn *o, int64_t length) noexcept nogil   # forget the rows from `length` on
cdef int out_reserve(OutColumn *o, int64_t extra_rows) noexcept nogil
cdef int out_push_i64(OutColumn *o, int64_t value) noexcept nogil      # any int/date/... width, and bool
cdef int out_push_f64(OutColumn *o, double value) noexcept nogil       # F32 and F64
cdef int out_push_bytes(OutColumn *o, const uint8_t *data, int64_t size) noexcept nogil  # UTF8 and FIXED
cdef int out_push_null(OutColumn *o) noexcept nogil
# A list of all values that were pushed to `o.child` since the last row (out_reserve first: it makes the child). After a
# failure out_truncate(o, o.length) takes back values that are of no row yet.
cdef int out_push_list(OutColumn *o) noexcept nogil
# Takes rows start .. stop - 1 out.
cdef void out_remove(OutColumn *o, int64_t start, int64_t stop) noexcept nogil
# Gathers `rows` of `source` (same kind, or utf8 of another layout, or a dictionary, decoded; or a null column) to the
# end of `o`. Every row is in 0 .. source.length - 1. STATUS_TYPE when the kinds do not fit.
cdef int out_gather(OutColumn *o, const Column *source, const int32_t *rows, int64_t n) noexcept nogil
# The same where a negative row stands for a value that is not there: it gives null.
cdef int out_gather_optional(OutColumn *o, const Column *source, const int32_t *rows, int64_t n) noexcept nogil
# The column as kernels read it; borrowed, until the next push.
cdef void out_view(const OutColumn *o, Column *view) noexcept nogil
# Moves the buffers into an ArrowArray with room for `n_extra` further buffers that rest on `kept` (or NULL). `o` is
# left empty; on STATUS_NO_MEMORY it keeps everything.
cdef int out_array(OutColumn *o, int64_t n_extra, BatchC *kept, ArrowArray *array) noexcept nogil
# Makes a BatchC of `n` columns of n_rows rows each; takes over their buffers and leaves them empty.
cdef BatchC *out_export(OutColumn *columns, int64_t n, int64_t n_rows) noexcept nogil   # NULL: no memory
# The same for a few rows, without lists: copies them into one block, so the columns keep their buffers for the next rows and
# are empty. NULL: no memory, or more than such a block should hold; nothing has changed.
cdef BatchC *out_compact(OutColumn *columns, int64_t n, int64_t n_rows) noexcept nogil
# The same in two steps, between which further rows may come: the first takes all the memory there is to take, so that
# the second cannot fail.
cdef BatchC *out_prepare(OutColumn *columns, int64_t n) noexcept nogil                  # NULL: no memory
cdef void out_finish(BatchC *batch, OutColumn *columns, int64_t n, int64_t n_rows) noexcept nogil

cdef inline int list_kind(int kind_of_values) noexcept nogil:
    return KIND_LIST | kind_of_values << 8

cdef inline int out_push_word(OutColumn *o, int64_t value) noexcept nogil:
    """out_push_i64; PERF: without a call for a 64-bit column that has room and no nulls so far, as most have."""
    if o.width == 8 and o.length < o.capacity and o.validity == NULL and o.kind != KIND_F64:
        (<int64_t *>o.values)[o.length] = value
        o.length += 1
        return STATUS_OK
    return out_push_i64(o, value)
