"""Operator: the one interface of every kernel that turns event batches into match batches (see operator.pxd).

A shard knows only this: it hands each batch to `process`, moves the watermark with `advance`, ends with `finish`, and
keeps a checkpoint with `save`. What a subclass leaves out is harmless: an operator that has no windows has nothing
to do on `advance`, one that holds nothing back has nothing to say on `finish`, one that has nothing in common with its
neighbours joins no pool. Only `save` and `restore` must be written by each operator, because forgetting state would be
silent.

Invariants: the nogil methods are called by one thread at a time; on a status other than STATUS_OK the state is as it
was before the call. `input` and `output` are set once, by the subclass's constructor.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset
from .batch cimport Batch, BatchC, batch_schema
from .column cimport KIND_NONE
from .pool cimport ConditionPool
from .status cimport STATUS_LIMIT, STATUS_OK, STATUS_TYPE, Fault, fault_exception, fault_set


WHOLE, BATCHES, KEYS = SPREAD_WHOLE, SPREAD_BATCHES, SPREAD_KEYS     # of `spread`


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

    cdef int prepare(self, BatchC *batch, int64_t start, int64_t n, int shares, int32_t *rows, uint8_t *letters,
                     int32_t *ends, bint *lettered, Fault *fault) noexcept nogil:
        return fault_set(fault, STATUS_TYPE, -1, -1, 0, 0, "an operator that cannot be spread")

    cdef int judge(self, BatchC *batch, const Piece *pieces, int64_t n_pieces, Fault *fault) noexcept nogil:
        return STATUS_OK

    cdef void retract(self) noexcept nogil:
        pass

    cdef int take(self, BatchC *batch, int64_t base_sequence, const Piece *pieces, int64_t n_pieces, BatchC **out,
                  Fault *fault) noexcept nogil:
        out[0] = NULL
        return fault_set(fault, STATUS_TYPE, -1, -1, 0, 0, "an operator that cannot be spread")

    cdef void layout(self, int column, int32_t *kind, int32_t *width) noexcept nogil:
        kind[0] = KIND_NONE
        width[0] = 0

    cdef bint join(self, ConditionPool pool) except -1:
        return False

    cdef str context(self, const Fault *fault):
        return ""

    cdef void tell(self, int64_t n_open, int64_t n_partitions, int64_t n_rows, int64_t n_bytes) noexcept nogil:
        self.open_gauge.set(n_open)
        self.partitions_gauge.set(n_partitions)
        self.rows_gauge.set(n_rows)
        self.bytes_gauge.set(n_bytes)

    cdef int within_limits(self, int64_t n_open, int64_t n_partitions, Fault *fault) noexcept nogil:
        """STATUS_OK, or a fault: the batches before have led beyond a limit, and this one is not taken.

        Asked between batches only, so that a batch is taken whole or not at all; one batch may lead beyond the limit by what
        it opens. Partial matches close when the watermark moves, which is not refused; partitions stay.
        """
        if self.max_open > 0 and n_open > self.max_open:
            fault_set(fault, STATUS_LIMIT, -1, -1, n_open, self.max_open, "max_partial_matches (open attempts)")
        elif self.max_keys > 0 and n_partitions > self.max_keys:
            fault_set(fault, STATUS_LIMIT, -1, -1, n_partitions, self.max_keys, "max_partitions")
        else:
            return STATUS_OK
        fault.stage = STAGE_LIMIT
        return STATUS_LIMIT

    def limit(self, int64_t max_partial_matches, int64_t max_partitions):
        """Sets how many attempts may be open and how many partitions known when a batch comes; 0: no limit.

        Before the operator is used. A batch that comes later is refused with LimitError, and changes nothing.
        """
        self.max_open = max_partial_matches
        self.max_keys = max_partitions

    def figures(self):
        """(open attempts, partitions, kept rows or -1, bytes of state), as the last call left them; from any thread."""
        return self.open_gauge.get(), self.partitions_gauge.get(), self.rows_gauge.get(), self.bytes_gauge.get()

    def run(self, Batch batch not None, int64_t base_sequence):
        """Takes one batch on the caller's thread, without the GIL.

        Args:
            batch: of the schema `input` (`input.accepts` says so; it is not checked again here).
            base_sequence: the stream's sequence of its first row.

        Returns:
            The Batch of matches that became certain, or None.

        Raises:
            EvaluationError, OrderError, ClosedError, LimitError: as the operator's own documentation says.
        """
        cdef Fault fault
        cdef BatchC *out = NULL
        cdef int status
        memset(&fault, 0, sizeof(Fault))
        with nogil:
            status = self.process(batch.c, base_sequence, &out, &fault)
        return self.result_of(status, out, &fault)

    def run_advance(self, int64_t time):
        """Moves the watermark to `time` (in the unit of the time column); what `run` returns and raises."""
        cdef Fault fault
        cdef BatchC *out = NULL
        cdef int status
        memset(&fault, 0, sizeof(Fault))
        with nogil:
            status = self.advance(time, &out, &fault)
        return self.result_of(status, out, &fault)

    def run_finish(self):
        """End of input; what `run` returns and raises."""
        cdef Fault fault
        cdef BatchC *out = NULL
        cdef int status
        memset(&fault, 0, sizeof(Fault))
        with nogil:
            status = self.finish(&out, &fault)
        return self.result_of(status, out, &fault)

    cdef object result_of(self, int status, BatchC *out, const Fault *fault):
        if status != STATUS_OK:
            raise fault_exception(fault, self.context(fault))
        return Batch.wrap(out, batch_schema(out, self.output)) if out != NULL else None

    cpdef bytes save(self):
        """The whole state as bytes that `restore` of an operator of the same program takes."""
        raise NotImplementedError(f"{type(self).__name__} has no save")

    cpdef restore(self, bytes state):
        """Replaces the state by one that `save` made; StateError and no change when it is another's or torn."""
        raise NotImplementedError(f"{type(self).__name__} has no restore")
