"""RowFilter: the operator of a condition: the rows for which it is true."""
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint64_t, uint8_t

from .batch cimport BatchC
from .operator cimport Operator
from .row_condition cimport RowCondition
from .status cimport Fault

cdef class RowFilter(Operator):
    cdef RowCondition condition
    cdef int64_t n_columns      # of the output
    cdef bint placed
    cdef int32_t *rows          # of one batch
    cdef int64_t room
    cdef uint8_t *bytes         # CHUNK
    cdef tuple shared           # SharedConditions of `pool`: where all are true, the condition is
    cdef int n_shared
    cdef PyObject **parts       # the same, borrowed, to be reached without the GIL
    cdef const uint64_t **masks     # n_shared
    # Both give the rows that pass and how many, or a status.
    cdef int _alone(self, BatchC *batch, int32_t **rows, int64_t *found, Fault *fault) noexcept nogil
    cdef int _together(self, BatchC *batch, int32_t **rows, int64_t *found, Fault *fault) noexcept nogil
