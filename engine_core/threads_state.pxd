"""What is kept of all attempts: collection of rows, saving and restoring."""
from libc.stdint cimport int64_t

from .blob cimport Blob, Reader
from .captures cimport Definitions
from .threads cimport Threads

# Rows that nobody can read any more leave the history. Between batches only. Status.
cdef int threads_collect(Threads *t, Definitions d) noexcept nogil
cdef bint threads_wasteful(const Threads *t) noexcept nogil     # whether a collection is due
cdef void threads_save(const Threads *t, Blob *b) noexcept nogil
# Into fresh Threads of the same program whose keys were restored. Status.
cdef int threads_restore(Threads *t, Definitions d, Reader *r, int64_t next_sequence) noexcept nogil
