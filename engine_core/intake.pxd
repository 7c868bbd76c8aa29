"""Intake: one stream's door into a ring."""
from libc.stdint cimport int64_t
from .batch cimport Batch, BatchC
from .column cimport Column
from .gauge cimport Gauge
from .latch cimport Latch
from .open_batch cimport OpenBatch
from .ring cimport Message, Ring
from .row_builder cimport RowBuilder
from .schema cimport Schema
from .watermark cimport TimeScan


cdef class Intake:
    cdef readonly Ring ring
    cdef readonly int id            # the stream's source id
    cdef readonly Schema schema     # what the stream was declared with
    cdef readonly int time_column   # or -1
    cdef readonly int64_t lateness  # in the unit of the time column
    cdef public int64_t next        # sequence of the next event that goes in
    cdef int64_t newest
    cdef BatchC *scanned            # the batch that `scan` saw last, and the newest time then; not owned
    cdef int64_t scanned_newest
    cdef int64_t told               # what `advance` was told
    cdef Gauge events, batches, newest_gauge, told_gauge    # the figures, for any thread
    cdef readonly RowBuilder rows
    cdef readonly int64_t gather_rows
    cdef readonly bint owes         # the newest watermark was dropped with its batch: no slot has told it
    cdef OpenBatch *open            # what small pushes join (one reference), or NULL
    cdef int64_t open_epoch
    cdef int64_t epoch              # as read before the claim of the slot that is put next; -1: not read
    cdef int64_t offered            # how many rows wait in `rows` for a slot
    cdef int64_t offered_newest
    cdef Column *views              # of `rows`
    cdef Schema given               # of the last batch: the stream's, in the layout that the producer has
    cdef Schema layout              # the first one whose data lay in memory as those of `given`; it stays in `layouts`
    cdef dict layouts
    cdef object quick_type
    cdef object quick_schema
    cdef Latch latch                # who has it may touch all of this
    cdef bint shown                 # a slot is published, and nobody woken for it
    cdef bint shut                  # the stream ends: who has the lock alone puts something in
    cdef int learn(self, Schema given) except -1
    cdef int64_t mark_of(self, int64_t newest) noexcept
    cdef bint joins(self, int64_t rows) noexcept
    cdef bint join(self, const Column *columns, int64_t n, int64_t newest) noexcept
    cdef void fill(self, Message *message, BatchC *batch, OpenBatch *open, int64_t n, int64_t newest) noexcept
    cdef void leave(self) noexcept
    cdef void count(self, int64_t n_rows, int64_t newest) noexcept
    cdef bint in_order(self, TimeScan *found) noexcept
    cdef int place(self) noexcept
    cdef int placed(self, int outcome) except -1
    cdef int64_t put_batch(self, BatchC *c, int64_t newest) noexcept
    cdef int fill_slot(self, int64_t sequence) noexcept
    cdef bint show(self, int64_t sequence, Message *message) noexcept
    cdef void wake(self, bint small) noexcept
    cdef int send(self, int64_t sequence, Message *message) except -1


cdef class IntakeLock:
    cdef readonly Intake intake
    cdef object lock
