"""Operator: the one interface of every kernel that turns event batches into match batches (see operator.pxd).

A shard knows only this: it hands each batch to `process`, moves the watermark with `advance`, ends with `finish`, and
keeps a checkpoint with `save`. What a subclass leaves out is harmless: an operator that has no windows has nothing
to do on `advance`, one that holds nothing back has nothing to say on `finish`. Only `save` and `restore`
must be written by each operator, because forgetting state would be silent.

Invariants: the nogil methods are called by one thread at a time; on a status other than STATUS_OK the state is as it
was before the call. `input` and `output` are set once, by the subclass's constructor.
"""
from libc.stdint cimport int64_t
from .batch cimport BatchC
from .status cimport STATUS_OK, Fault


cdef class Operator:
    """What a trigger runs on: takes batches of events, gives batches of matches.

    `input` and `output` are the Schemas of both. The work is done in C, without the GIL, by subclasses of the core.

    Example:
        >>> Operator().input is None
        True
    """

    cdef int process(self, BatchC *batch, int64_t base_sequence, BatchC **out, Fault *fault) noexcept nogil:
        out[0] = NULL
        return STATUS_OK

    cdef int advance(self, int64_t time, BatchC **out, Fault *fault) noexcept nogil:
        out[0] = NULL
        return STATUS_OK

    cdef int finish(self, BatchC **out, Fault *fault) noexcept nogil:
        out[0] = NULL
        return STATUS_OK

    cpdef bytes save(self):
        """The whole state as bytes that `restore` of an operator of the same program takes."""
        raise NotImplementedError(f"{type(self).__name__} has no save")

    cpdef restore(self, bytes state):
        """Replaces the state by one that `save` made; StateError and no change when it is another's or torn."""
        raise NotImplementedError(f"{type(self).__name__} has no restore")
