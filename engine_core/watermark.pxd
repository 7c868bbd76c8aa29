"""The watermark of a stream: which rows of a batch are in time."""
from libc.stdint cimport int64_t
from .column cimport Column

cdef int64_t WATERMARK_NONE   # no event has been seen yet: below every time

cdef struct TimeScan:
    int64_t newest          # newest time seen, this batch included
    int64_t first_late      # first row behind the watermark as it stood before that row, or -1
    int64_t first_fall      # first row whose time is below an earlier one's (late or not), or -1
    int64_t first_null      # first row without a time, or -1

cdef void time_scan(const Column *column, int64_t newest, int64_t lateness, int64_t watermark, TimeScan *out) noexcept nogil
cdef int64_t watermark_of(int64_t newest, int64_t lateness) noexcept nogil
cdef bint time_kind(int kind) noexcept nogil
