"""Derive: an operator with columns that a library computes before it, and measures that one computes after it."""
from libc.stdint cimport int64_t

from .batch cimport BatchC
from .operator cimport Operator
from .status cimport Fault

cdef class Derive(Operator):
    cdef readonly Operator inner
    cdef object before
    cdef object after
    cdef bint owing             # `after` has kept matches back behind one at fault
    cdef int64_t ticket         # numbers the exceptions below
    cdef dict raised            # ticket -> exception that has not been told yet

    cdef BatchC *_widened(self, BatchC *batch, Fault *fault) noexcept
    cdef int _settle(self, int status, BatchC **out, Fault *fault) noexcept nogil
    cdef int _measured(self, BatchC **out, Fault *fault) noexcept
    cdef bint told_here(self, const Fault *fault)
    cdef int _refuse(self, object wrong, int stage, Fault *fault) noexcept
