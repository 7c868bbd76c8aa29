"""Conditions: a batch's rows -> letters (which conditions hold), with PREV answered per partition."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .column cimport Column
from .expression cimport Program
from .lag cimport LagTable
from .registers cimport Frame, Input
from .status cimport Fault

cdef struct ConditionInput:
    int32_t column
    int32_t lag                 # number of the LagOutput, or -1: the column itself

cdef class Conditions:
    cdef Program program
    cdef Frame frame
    cdef bint framed
    cdef ConditionInput *sources
    cdef Input *inputs
    cdef LagTable lags
    cdef uint8_t *bytes         # CHUNK
    cdef readonly int count     # conditions
    cdef readonly bint lagged   # some condition reads PREV: every row's partition is needed first
    cdef readonly bint can_fault

    cdef int begin(self, const Column *columns, int64_t n_rows) noexcept nogil
    # Masks of rows start .. start+n (n <= CHUNK): one byte per row up to 8 conditions, else 64 bits.
    cdef int chunk(self, const Column *columns, const uint32_t *partitions, int64_t start, int64_t n, uint8_t *narrow,
                   uint64_t *wide, Fault *fault) noexcept nogil
