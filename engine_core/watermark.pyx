"""Watermark: how far a stream's event time has come, and which events come too late for it.

The watermark w of a stream says: no event with time < w is still to come. It is the newest time seen minus the
stream's lateness, or what `engine.advance` was told, whichever is later. An event is *late* when its time is
below the watermark as it stood before that event: so lateness does not depend on how the stream is cut into
batches. One pass over the time column finds the first late row, the first row that is out of order and the
first null; a stream in order (the usual case) needs nothing more.

Cost: one comparison per row (~0.4 ns); integers of any width, dates, times and timestamps are read as int64.
"""
from libc.stdint cimport INT64_MIN, int64_t

from .column cimport (KIND_I8, KIND_I16, KIND_I32, KIND_I64, KIND_U8, KIND_U16, KIND_U32, Column, column_i64,
                      column_valid)

WATERMARK_NONE = INT64_MIN


cdef bint time_kind(int kind) noexcept nogil:
    # uint64 is left out: it does not fit the int64 that operators take as time.
    return (kind == KIND_I64 or kind == KIND_I32 or kind == KIND_I16 or kind == KIND_I8
            or kind == KIND_U32 or kind == KIND_U16 or kind == KIND_U8)


cdef int64_t watermark_of(int64_t newest, int64_t lateness) noexcept nogil:
    """newest - lateness, not below the lowest watermark there is."""
    if newest == INT64_MIN or newest < INT64_MIN + 1 + lateness:
        return INT64_MIN
    return newest - lateness


cdef void time_scan(const Column *column, int64_t newest, int64_t lateness, int64_t watermark,
                    TimeScan *out) noexcept nogil:
    """Scans `column` from a stream whose newest time so far is `newest` and whose watermark is `watermark`."""
    cdef int64_t i, t
    cdef const int64_t *wide = <const int64_t *>column.values
    cdef bint is_wide = column.kind == KIND_I64 and column.null_count == 0
    out.first_late = -1
    out.first_fall = -1
    out.first_null = -1
    for i in range(column.length):
        if is_wide:
            t = wide[i]
        elif column_valid(column, i):
            t = column_i64(column, i)
        else:
            if out.first_null < 0:
                out.first_null = i
            continue
        if t >= newest:
            newest = t
            if t < watermark and out.first_late < 0:   # engine.advance has gone beyond all events
                out.first_late = i
        else:
            if out.first_fall < 0:
                out.first_fall = i
            if out.first_late < 0 and (t < watermark or t < watermark_of(newest, lateness)):
                out.first_late = i
    out.newest = newest
