"""RowFilter: the operator of a condition: the rows for which it is true."""
from libc.stdint cimport int32_t, int64_t, uint8_t

from .batch cimport BatchC
from .conditions cimport Conditions
from .operator cimport Operator
from .status cimport Fault

cdef class RowFilter(Operator):
    cdef Conditions conditions
    cdef int32_t *rows          # of one batch
    cdef int64_t room
    cdef uint8_t *bytes         # CHUNK
