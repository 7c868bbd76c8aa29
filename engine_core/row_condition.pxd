"""RowCondition: one condition that reads nothing but its own row."""
from libc.stdint cimport int32_t, int64_t, uint8_t

from .column cimport Column
from .expression cimport Program
from .registers cimport Frame, Input
from .status cimport Fault

cdef class RowCondition:
    cdef Program program        # of one result, boolean
    cdef int32_t *columns       # of the batch: what its inputs are
    cdef Input *inputs
    cdef Frame frame
    cdef bint framed            # `frame` is made; not before the first batch
    cdef readonly bint can_fault

    # Once per batch; a status.
    cdef int begin(self, const Column *columns, int64_t n_rows) noexcept nogil
    # Rows start .. start+n (n <= CHUNK): a byte for each, 1 where the condition is true. The bytes are good until the
    # next call; `room` is CHUNK bytes in which they may lie. NULL and a filled fault: a row is at fault.
    cdef const uint8_t *truth(self, int64_t start, int64_t n, uint8_t *room, Fault *fault) noexcept nogil
