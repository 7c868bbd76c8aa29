"""Owner: which of several workers a row belongs to, by its partition key."""
from libc.stdint cimport int32_t, int64_t, uint8_t

from .column cimport Column

cdef enum:
    OWNERS_MAX = 64

cdef struct Owners:
    uint8_t *of_code            # per dictionary code: its owner, or OWNERS_MAX if nobody has asked
    int64_t room

cdef void owners_free(Owners *o) noexcept nogil
# The owner (0 .. shares - 1) of n rows: of `rows`, or start .. start + n where it is NULL. One key has one owner, whatever
# the layout of its columns, the batch and the process. STATUS_NO_MEMORY: nothing is known.
cdef int owners_find(Owners *o, const Column **columns, int n_columns, const int32_t *rows, int64_t start, int64_t n,
                     int shares, uint8_t *out) noexcept nogil
# Sorts n rows (and their letters, unless NULL) by owner, each owner's in the order in which they stand: ends[i] is where
# those of owner i end.
cdef void owners_split(const uint8_t *owners, const int32_t *rows, const uint8_t *letters, int64_t n, int shares,
                       int32_t *out_rows, uint8_t *out_letters, int32_t *ends) noexcept nogil
# Both for two owners and one column of whole numbers without NULLs, in one go; False: not that. `rows` and `letters` (or
# NULL) are used up. PERF: 1.2 ns a row instead of 4 ns.
cdef bint owners_halve(const Column **columns, int n_columns, int32_t *rows, uint8_t *letters, int64_t n, int shares,
                       int32_t *out_rows, uint8_t *out_letters, int32_t *ends) noexcept nogil
