"""Derive: wraps an operator whose plan has columns, or measures, that the kernels do not compute.

    batch ──▶ before(batch) ──▶ [its columns | the derived ones] ──▶ inner ──▶ after(matches) ──▶ matches

What        `before` and `after` are Python callables over anything that speaks the Arrow PyCapsule interface: the core
            itself knows no library. Each is called once per batch, and only then the GIL is taken. The columns of the
            batch are shared with the wider one, not copied.
Faults      what `before` raises refuses the batch: nothing was taken. What `after` raises is a match without a value
            (STAGE_RESULT): the batch was taken. `after` keeps back the matches behind such a one, and hands them over
            with the next call, for which it may be asked with None; a saved state has them in it (library.Measuring).
            The exception waits under a ticket until `context` tells it, on whatever thread a fault becomes one.
State       that of `inner`, and what `after` kept back: after.save() and after.restore(bytes), where it has them.
Cost        5 to 10 us a batch, besides what the library does.
"""
from libc.stdint cimport int64_t

from .batch cimport (Batch, BatchC, array_column, array_make, batch_new, batch_release, batch_retain,
                     batch_schema)
from .column cimport KIND_DICT
from .operator cimport STAGE_RESULT, Operator
from .schema cimport Schema
from .status cimport STATUS_NO_MEMORY, STATUS_OK, STATUS_VALUE, Fault, fault_set

from .status import SchemaError, StateError

MAGIC = b"derive1\0"

cdef enum:
    STAGE_DERIVE = 15           # below STAGE_RESULT: nothing was taken
    STAGE_MEASURE = STAGE_RESULT + 47   # the batch was; no operator has as many stages
    RAISED_MAX = 1024           # exceptions that may wait to be told


cdef int share(BatchC *out, int64_t at, BatchC *source, int64_t column) noexcept nogil:
    """Column `column` of `source` becomes column `at` of `out`, which has no offset of its own."""
    cdef int status = array_column(out.array.children[at], source, column)
    if status != STATUS_OK:
        return status
    out.columns[at] = source.columns[column]
    if out.columns[at].kind == KIND_DICT:
        out.dictionaries[at] = source.dictionaries[column]
        out.columns[at].dictionary = &out.dictionaries[at]
    return STATUS_OK


cdef BatchC *beside(BatchC *left, BatchC *right) noexcept nogil:
    """The columns of both, which have as many rows; NULL: no memory."""
    cdef int64_t i, n = left.n_columns + right.n_columns
    cdef BatchC *out = batch_new(n)
    if out == NULL or array_make(&out.array, left.n_rows, 0, 1, 0, n, NULL) != STATUS_OK:
        batch_release(out)
        return NULL
    out.n_rows = left.n_rows
    out.layout = left.layout    # of its first columns
    for i in range(n):
        if (share(out, i, left, i) if i < left.n_columns else share(out, i, right, i - left.n_columns)) != STATUS_OK:
            batch_release(out)
            return NULL
    return out


cdef class Derive(Operator):
    """An operator with a library before and after it.

    Args:
        inner: takes the columns of `input`, then those that `before` gives.
        input: schema of the batches.
        output: schema of the matches that `after` gives.
        before: batch -> the derived columns, with as many rows; None: none are.
        after: matches of `inner` -> matches of `output` (or None: there are none); None: they stay as they are. One that
            keeps matches back has save() -> bytes and restore(bytes), and is called with None, too.
            Both take and give things that have `__arrow_c_array__`. What they raise is an error of this operator.
    """

    def __cinit__(self, Operator inner not None, Schema input not None, Schema output not None, before, after=None):
        self.inner = inner
        self.input = input
        self.output = output
        self.before = before
        self.after = after
        self.raised = {}
        if len(inner.input.names) < len(input.names):
            raise ValueError("the inner operator takes fewer columns than there are")

    cdef int _refuse(self, object wrong, int stage, Fault *fault) noexcept:
        """Keeps an exception until somebody asks `context` for it."""
        self.ticket += 1
        self.raised[self.ticket] = wrong
        if len(self.raised) > RAISED_MAX:       # nobody asks: faults that were dropped with a closed engine
            del self.raised[min(self.raised)]
        fault_set(fault, STATUS_VALUE, -1, -1, self.ticket, 0, NULL)
        fault.stage = stage
        return STATUS_VALUE

    cdef BatchC *_widened(self, BatchC *batch, Fault *fault) noexcept:
        """`batch` with the derived columns behind its own; NULL and a fault."""
        cdef Batch given, derived
        cdef BatchC *out
        cdef int64_t n = batch.n_columns
        try:
            batch_retain(batch)
            given = Batch.wrap(batch, batch_schema(batch, self.input))
            derived = Batch.from_arrow(self.before(given))
            if derived.c.n_rows != batch.n_rows or n + derived.c.n_columns != len(self.inner.input.names):
                raise SchemaError(f"{derived.c.n_columns} derived columns of {derived.c.n_rows} rows do not fit a batch "
                                  f"of {batch.n_rows} rows and {len(self.inner.input.names) - n} of them")
            if derived.schema.kinds != self.inner.input.kinds[n:]:
                raise SchemaError(f"derived columns {derived.schema!r} are not those of {self.inner.input!r}")
        except BaseException as wrong:
            self._refuse(wrong, STAGE_DERIVE, fault)
            return NULL
        out = beside(batch, derived.c)
        if out == NULL:
            fault_set(fault, STATUS_NO_MEMORY, -1, -1, 0, 0, "the derived columns of a batch")
        return out

    cdef int _measured(self, BatchC **out, Fault *fault) noexcept:
        """`after` of what `out` holds, whose reference goes over."""
        cdef Batch matches = None
        cdef Batch made
        if out[0] != NULL:
            matches = Batch.wrap(out[0], batch_schema(out[0], self.inner.output))
            out[0] = NULL
        try:
            self.owing = False
            found = self.after(matches)
            if found is None:
                return STATUS_OK
            made = Batch.from_arrow(found)
            if made.schema.kinds != self.output.kinds:
                raise SchemaError(f"the measures {made.schema!r} are not those of {self.output!r}")
        except BaseException as wrong:
            self.owing = hasattr(self.after, "save")
            return self._refuse(wrong, STAGE_MEASURE, fault)
        if made.c.n_rows:
            made.c.layout = NULL        # the schema that it came with goes with `made`
            batch_retain(made.c)
            out[0] = made.c
        return STATUS_OK

    cdef int _settle(self, int status, BatchC **out, Fault *fault) noexcept nogil:
        """What follows a call of `inner`."""
        if status != STATUS_OK or self.after is None or (out[0] == NULL and not self.owing):
            return status
        with gil:
            return self._measured(out, fault)

    cdef int process(self, BatchC *batch, int64_t base_sequence, BatchC **out, Fault *fault) noexcept nogil:
        cdef BatchC *wider = batch
        cdef int status
        out[0] = NULL
        if self.before is not None:
            with gil:
                wider = self._widened(batch, fault)
            if wider == NULL:
                return fault.code
        else:
            batch_retain(wider)
        status = self.inner.process(wider, base_sequence, out, fault)
        batch_release(wider)
        return self._settle(status, out, fault)

    cdef int advance(self, int64_t time, BatchC **out, Fault *fault) noexcept nogil:
        return self._settle(self.inner.advance(time, out, fault), out, fault)

    cdef int finish(self, BatchC **out, Fault *fault) noexcept nogil:
        return self._settle(self.inner.finish(out, fault), out, fault)

    def limit(self, int64_t max_partial_matches, int64_t max_partitions):
        """Those of the operator inside."""
        self.inner.limit(max_partial_matches, max_partitions)

    def figures(self):
        """Those of the operator inside; what `after` has kept back is not counted."""
        return self.inner.figures()

    cdef bint told_here(self, const Fault *fault):
        return fault.code == STATUS_VALUE and fault.text == NULL and fault.stage in (STAGE_DERIVE, STAGE_MEASURE)

    cdef str context(self, const Fault *fault):
        if self.told_here(fault):
            wrong = self.raised.pop(fault.value, None)
            return "an expression has no value" if wrong is None else str(wrong) or type(wrong).__name__
        return self.inner.context(fault)

    cdef object result_of(self, int status, BatchC *out, const Fault *fault):
        """On the caller's own thread the exception is raised as it was; an interrupt is no fault of the data."""
        if self.told_here(fault) and fault.value in self.raised:
            raise self.raised.pop(fault.value)
        return Operator.result_of(self, status, out, fault)

    cpdef bytes save(self):
        """The inner operator's state, and the matches that `after` has kept back."""
        kept = self.after.save() if self.owing else b""
        return MAGIC + len(kept).to_bytes(8, "little") + kept + self.inner.save()

    cpdef restore(self, bytes state):
        """Replaces the state by one that `save` made; StateError and no change when it is another's or torn."""
        size = int.from_bytes(state[8:16], "little")
        if state[:8] != MAGIC or len(state) < 16 + size or (size and not hasattr(self.after, "restore")):
            raise StateError("this was saved by another kind of trigger, or is torn; nothing was restored")
        self.inner.restore(state[16 + size:])
        self.owing = size > 0
        if size:
            self.after.restore(state[16:16 + size])
