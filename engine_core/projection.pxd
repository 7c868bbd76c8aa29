"""Projection: an expression over the columns of a batch, row by row."""
from libc.stdint cimport int32_t, int64_t

from .expression cimport Program
from .registers cimport Frame, Input
from .schema cimport Schema

cdef class Projection:
    cdef readonly Schema output
    cdef Program program
    cdef Frame frame
    cdef Input *inputs
    cdef int32_t *sources           # of each input: its column
    cdef int64_t columns            # that a batch has to have, at least
    cdef bint framed
