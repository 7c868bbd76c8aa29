"""Operator: the one interface of every kernel that turns event batches into match batches.

`process`, `advance` and `finish` run without the GIL on the thread that owns the operator, and are
all-or-nothing: on a status other than STATUS_OK the operator's state is as it was before the call. The exception is
a match without a value (fault.stage >= STAGE_RESULT): the rows were taken, that match is left out, and the others
come with the next call, whichever it is.
`*out` is NULL when there is nothing to say, else a batch of the operator's `output` schema (one reference,
the caller's). `base_sequence` is the stream's sequence of the batch's first row.
"""
from libc.stdint cimport int64_t
from .batch cimport BatchC, Schema
from .pool cimport ConditionPool
from .status cimport Fault

cdef enum:
    STAGE_RESULT = 16       # Fault.stage from here on: a match has no value; below: nothing was taken

cdef class Operator:
    cdef readonly Schema input
    cdef readonly Schema output
    cdef readonly ConditionPool pool    # whose answers it may use; or None
    cdef int process(self, BatchC *batch, int64_t base_sequence, BatchC **out, Fault *fault) noexcept nogil
    cdef int advance(self, int64_t time, BatchC **out, Fault *fault) noexcept nogil
    cdef int finish(self, BatchC **out, Fault *fault) noexcept nogil
    # Takes part in `pool` (None: in none) if it can; whether it does. Called by topology: with None before it runs, then
    # for each table that it is in: if it has a pool already it may be running, and nothing may change.
    cdef bint join(self, ConditionPool pool) except -1
    # Words for a fault of this operator: which condition, measure or column it is about ("" if none fits).
    cdef str context(self, const Fault *fault)
    cpdef bytes save(self)
    cpdef restore(self, bytes state)
    cdef object result_of(self, int status, BatchC *out, const Fault *fault)
