"""Footprint: how many bytes the state of a matcher takes, without walking it."""
from libc.stdint cimport int64_t

from .conditions cimport Conditions
from .parts cimport Attempts
from .threads cimport Threads

# What the buffers that grow with the events have room for, texts included; not the program, nor buffers of one batch.
cdef int64_t attempts_bytes(const Attempts *a, Conditions conditions) noexcept nogil
cdef int64_t threads_bytes(const Threads *t, Conditions conditions) noexcept nogil
