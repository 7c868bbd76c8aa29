"""Conditions: a batch's rows -> letters (which conditions hold), with PREV answered per partition."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .column cimport Column
from .expression cimport Program
from .lag cimport LagTable
from .pick cimport Pick
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
    cdef Pick *picks            # by input; made when some rows of a batch are first asked for
    cdef bint picked            # this batch: `chunk` is told its rows
    cdef LagTable lags
    cdef uint8_t *bytes         # CHUNK
    cdef readonly int count     # conditions
    cdef readonly bint lagged   # some condition reads PREV: every row's partition is needed first
    cdef readonly bint can_fault

    # Once per batch. `picked`: chunk will be told the numbers of its rows.
    cdef int begin(self, const Column *columns, int64_t n_rows, bint picked) noexcept nogil
    # Masks of rows start .. start+n (`rows` is NULL), or (picked) of `rows` (n <= CHUNK): one byte per row up to 8
    # conditions, else 64 bits.
    cdef int chunk(self, const Column *columns, const int32_t *rows, const uint32_t *partitions, int64_t start, int64_t n,
                   uint8_t *narrow, uint64_t *wide, Fault *fault) noexcept nogil
    cdef int _make_picks(self) noexcept nogil
