"""Stepping the open attempts of every partition: see parts.pxd for the structures."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from .column cimport Column
from .parts cimport Attempts

# Steps the rows `rows[0..n)` of the batch, with the partition number and the letter of each: narrow[i], or (more than 8
# conditions) letters[i]; the time of row r, with WITHIN, is times[r] if the column is 64 bits wide.
cdef int attempts_run(Attempts *a, const Column *columns, const int32_t *rows, const uint8_t *narrow,
                      const uint32_t *letters, const uint32_t *partitions, const Column *time_column,
                      int64_t base_sequence, int64_t n) noexcept nogil
cdef int attempts_finish(Attempts *a) noexcept nogil
# Between batches.
cdef int attempts_tidy(Attempts *a, int64_t n_rows) noexcept nogil
