"""Pick: chosen rows of a column as an input of an expression program."""
from libc.stdint cimport int32_t, int64_t, uint8_t

from .column cimport Column
from .registers cimport Input
from .vector cimport Str

cdef struct Pick:
    bint text                   # strings are looked at where they lie; all else is gathered
    Column column               # the gathered rows
    uint8_t *values             # CHUNK values of 16 bytes: of `column`, or the Str of each string
    uint8_t *valid              # CHUNK: bits of `column`, or a byte for each string

cdef int pick_init(Pick *p, bint text) noexcept nogil
cdef void pick_free(Pick *p) noexcept nogil
# Once per batch: `input` will be what is picked of `source`.
cdef void pick_bind(Pick *p, const Column *source, Input *input) noexcept nogil
# Picks n <= CHUNK rows; the program then runs on rows 0 .. n - 1.
cdef void pick_rows(Pick *p, const Column *source, const int32_t *rows, int64_t n) noexcept nogil
