"""Operator: the one interface of every kernel that turns event batches into match batches.

`process`, `advance` and `finish` run without the GIL on the thread that owns the operator, and are
all-or-nothing: on a status other than STATUS_OK the operator's state is as it was before the call. The exception is
a match without a value (fault.stage >= STAGE_RESULT): the rows were taken, that match is left out, and the others
come with the next call, whichever it is.
`*out` is NULL when there is nothing to say, else a batch of the operator's `output` schema (one reference,
the caller's). `base_sequence` is the stream's sequence of the batch's first row.

Several workers     An operator says by `spread` what several instances of it, one a worker, can do together. SPREAD_KEYS:
each instance keeps the state of its own partitions and takes their rows. Of every batch then

    prepare     what does not depend on state, for some rows at a time, by whichever instance is free: which rows matter,
                whose they are (owner.pyx), their letters; it may refuse the batch
    judge       by every instance, on its rows: what may refuse the batch and does depend on state (only if `votes`)
    retract     the batch is refused: as if judge had never been called
    take        by every instance, on its rows: the step

and advance and finish go to every instance. All see the same batches, so they refuse alike.

Order of matches    Such instances give two columns more than `output` has, both int64, by which their matches are
merged into the order in which one instance would give them (merge.pyx): `settled`, which event made the match certain,
is 2 s + 1 for an event with sequence s of the match's own partition, and 2 s where a window closed because s is the
first event that is late enough. Of several windows that close at once, `turn` is the first row of the attempt whose
turn it was, else 0: what an event of its own makes certain is of one partition, and so of one instance.

An operator that keeps state says at the end of every call how much that is (`tell`), and begins `process` with
`within_limits`, which refuses a batch while a limit on its state is passed.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t
from .batch cimport BatchC, Schema
from .gauge cimport Gauge
from .pool cimport ConditionPool
from .status cimport Fault

cdef enum:
    STAGE_LIMIT = 14        # Fault.stage: the batch was refused by `within_limits`
    STAGE_RESULT = 16       # Fault.stage from here on: a match has no value; below: nothing was taken

cdef enum Spread:
    SPREAD_WHOLE = 0        # one instance has to see everything
    SPREAD_BATCHES = 1      # no state that matters: any instance can take any batch
    SPREAD_KEYS = 2         # by partition

# Some rows of a batch, for one instance.
cdef struct Piece:
    const int32_t *rows     # ascending; NULL: start .. start + n
    const uint8_t *letters  # of these rows, where prepare worked them out; or NULL
    int64_t start
    int64_t n

cdef class Operator:
    cdef readonly Schema input
    cdef readonly Schema output
    cdef readonly int spread
    cdef readonly bint votes        # judge may refuse
    cdef readonly bint ranked       # there are the two columns by which matches are merged
    cdef Gauge open_gauge, partitions_gauge, rows_gauge, bytes_gauge    # any thread may look at them
    cdef int64_t max_open           # 0: no limit
    cdef int64_t max_keys
    # Of the thread that owns the operator, once per call: open attempts, partitions, kept rows (-1: nobody counts
    # them), bytes of state.
    cdef void tell(self, int64_t n_open, int64_t n_partitions, int64_t n_rows, int64_t n_bytes) noexcept nogil
    cdef int within_limits(self, int64_t n_open, int64_t n_partitions, Fault *fault) noexcept nogil
    cdef readonly ConditionPool pool    # whose answers it may use; or None
    cdef int process(self, BatchC *batch, int64_t base_sequence, BatchC **out, Fault *fault) noexcept nogil
    cdef int advance(self, int64_t time, BatchC **out, Fault *fault) noexcept nogil
    cdef int finish(self, BatchC **out, Fault *fault) noexcept nogil
    # Rows start .. start + n, split by owner among `shares` instances: those of instance i come to stand in
    # rows[ends[i - 1] .. ends[i]) (ends[-1] = 0), their letters, if there are any, in `letters` (`lettered` is set).
    cdef int prepare(self, BatchC *batch, int64_t start, int64_t n, int shares, int32_t *rows, uint8_t *letters,
                     int32_t *ends, bint *lettered, Fault *fault) noexcept nogil
    cdef int judge(self, BatchC *batch, const Piece *pieces, int64_t n_pieces, Fault *fault) noexcept nogil
    cdef void retract(self) noexcept nogil
    cdef int take(self, BatchC *batch, int64_t base_sequence, const Piece *pieces, int64_t n_pieces, BatchC **out,
                  Fault *fault) noexcept nogil
    # How `output`'s columns are made, if `ranked`: Kind (or list_kind) and width, as out_init takes them.
    cdef void layout(self, int column, int32_t *kind, int32_t *width) noexcept nogil
    # Takes part in `pool` (None: in none) if it can; whether it does. Called by topology: with None before it runs, then
    # for each table that it is in: if it has a pool already it may be running, and nothing may change.
    cdef bint join(self, ConditionPool pool) except -1
    # Words for a fault of this operator: which condition, measure or column it is about ("" if none fits).
    cdef str context(self, const Fault *fault)
    cpdef bytes save(self)
    cpdef restore(self, bytes state)
    cdef object result_of(self, int status, BatchC *out, const Fault *fault)
