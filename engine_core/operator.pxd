"""Operator: the one interface of every kernel that turns event batches into match batches.

`process`, `advance` and `finish` run without the GIL on the thread that owns the operator, and are
all-or-nothing: on a status other than STATUS_OK the operator's state is as it was before the call. The exception is
a match without a value (fault.stage >= STAGE_RESULT): the rows were taken, that match is left out, and the others
come with the next call, whichever it is.
`*out` is NULL when there is nothing to say, else a batch of the operator's `output` schema (one reference,
the caller's). `base_sequence` is the stream's sequence of the batch's first row.

An operator that keeps state says at the end of every call how much that is (`tell`), and begins `process` with
`within_limits`, which refuses a batch while a limit on its state is passed.
"""
from libc.stdint cimport int64_t
from .batch cimport BatchC, Schema
from .gauge cimport Gauge
from .status cimport Fault

cdef enum:
    STAGE_LIMIT = 14        # Fault.stage: the batch was refused by `within_limits`
    STAGE_RESULT = 16       # Fault.stage from here on: a match has no value; below: nothing was taken

cdef class Operator:
    cdef readonly Schema input
    cdef readonly Schema output
    cdef Gauge open_gauge, partitions_gauge, rows_gauge, bytes_gauge    # any thread may look at them
    cdef int64_t max_open           # 0: no limit
    cdef int64_t max_keys
    # Of the thread that owns the operator, once per call: open attempts, partitions, kept rows (-1: nobody counts
    # them), bytes of state.
    cdef void tell(self, int64_t n_open, int64_t n_partitions, int64_t n_rows, int64_t n_bytes) noexcept nogil
    cdef int within_limits(self, int64_t n_open, int64_t n_partitions, Fault *fault) noexcept nogil
    cdef int process(self, BatchC *batch, int64_t base_sequence, BatchC **out, Fault *fault) noexcept nogil
    cdef int advance(self, int64_t time, BatchC **out, Fault *fault) noexcept nogil
    cdef int finish(self, BatchC **out, Fault *fault) noexcept nogil
    # Words for a fault of this operator: which condition, measure or column it is about ("" if none fits).
    cdef str context(self, const Fault *fault)
    cpdef bytes save(self)
    cpdef restore(self, bytes state)
    cdef object result_of(self, int status, BatchC *out, const Fault *fault)
