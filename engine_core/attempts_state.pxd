"""Saving and restoring the open attempts."""
from libc.stdint cimport int64_t

from .parts cimport Attempts
from .blob cimport Blob, Reader

cdef int attempts_save(Attempts *a, Blob *b) noexcept nogil
cdef int attempts_restore(Attempts *a, Reader *r, int64_t n_partitions, int64_t next_sequence) noexcept nogil
