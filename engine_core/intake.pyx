"""Intake: takes batches in for one stream: schema check, event time, and the way into a slot of the ring.

A push is three steps, so that a store can come between the second and the third and nothing is stored for which
there is no room:

    adopt    data -> Batch: capsules taken over, schema checked; nothing has changed if this fails
    claim    room in the ring (claim_slots)
    put      the slot is filled and published: the shard sees the batch

The layout of a column may differ from batch to batch within one logical type (schema.pyx: utf8, string_view, a
dictionary): `layouts` keeps one Schema for each combination seen, which its batches point at, so that what comes back out
(rows that passed a condition, a batch with a fault) can be read.

Event time: `scan` says whether a batch is in order and in time (watermark.pyx); it changes nothing. `put` and
`advance` move the watermark. Sequences: `put` is told the first row's sequence (the store's), or counts by itself.

PERF: a pyarrow batch whose schema equals that of the one before is exported without its schema, through
`_export_to_c`, pyarrow's call for consumers that know the schema: 2.0 us instead of 2.9 us for 8 columns. `batch` does
all steps for such a batch in one call, if it is in order and there is room, as `event` does for one event.

Small pushes (events as dicts: `offer`; batches of a few rows: `gather`) join the stream's open batch if there is one
(open_batch.hpp), and then need no slot. Else a small push takes a slot: as a batch of its own when all readers are idle,
and as the stream's next open batch when they are not. Batches that came from the store's log never join one: each has its
own place there.

Threads: one at a time. Who has the lock (`IntakeLock`) has the latch too; `event` and `batch`, the way of most pushes, try
the latch alone. PERF: with the GIL it never finds it taken by another `event`, because none gives up the GIL in between: a
lock of Python's that several threads take thousands of times a second is handed from one sleeper to the next, at 5 us each.
"""
from cpython.ref cimport PyObject
from libc.stdint cimport INT64_MIN, int64_t, uintptr_t
from libc.stdlib cimport calloc, free

from .arrow_abi cimport ArrowArray
from .batch cimport Batch, BatchC, batch_adopt, batch_release, batch_retain
from .builder cimport out_compact, out_export, out_view
from .column cimport Column
from .histogram cimport stamp
from .open_batch cimport OPEN_ROWS_MAX, OpenBatch, open_append, open_begin, open_copy
from .ring cimport (RING_CLOSED, RING_DROPPED, RING_FULL, SLOT_ADVANCE, SLOT_DATA, SLOT_NOTHING,
                    SLOT_OPEN, Message, Ring, Slot, claim_blocking)
from .row_builder cimport RowBuilder
from .schema cimport Schema
from .status cimport Fault, fault_exception
from .watermark cimport TimeScan, time_kind, time_scan, watermark_of

import threading

from .status import BackpressureError, ClosedError, OrderError, SchemaError

LAYOUTS_MAX = 32767

IN_ORDER = 0        # of scan: every row is in order and in time
OUT_OF_ORDER = 1    # some row is earlier than one before it, all in time
LATE = 2            # some row is behind the watermark

cdef enum:
    IS_TAKEN = 0
    IS_WITHOUT_SLOT = 1
    IS_CLOSED = 3
    IS_WITHOUT_MEMORY = 4

TAKEN = IS_TAKEN                # of offer: the events are in the ring
WANTS_SLOT = IS_WITHOUT_SLOT    # there was no room: claim a slot for put_offered
SIDE_ROAD = 2                   # not in order: they come back from take_offered

SMALL_ROWS = OPEN_ROWS_MAX      # a push of more rows is a batch of its own
cdef enum:
    RELAY_ROWS = 1024     # a batch of fewer rows is dealt with in the time that it would take to wake another thread
    GIL_ROWS = 16_384   # checking fewer rows takes less time than another thread would keep the GIL

DISPLACE = -1       # instead of a claimed sequence: displace the oldest batch (a ring that drops)


def claim_slots(Ring ring not None, int64_t n, *, bint block, str what, timeout=None):
    """The first of `n` claimed slots of `ring`; a full ring is waited for (block; at most `timeout` seconds) or refused.

    Raises BackpressureError (nothing claimed), ClosedError, or what a signal handler raised while waiting.
    """
    cdef int64_t first
    if n > ring.c.capacity():
        raise BackpressureError(
            f"{what}: {n} batches at once do not fit a ring of {ring.c.capacity()} slots; push fewer at a time, "
            "or make the engine with a larger ring_slots")
    first = claim_blocking(ring.c, n, (-1 if timeout is None else <int64_t>(timeout * 1e9)) if block else 0)
    if first == RING_FULL:
        stayed = f"stayed full for {timeout} s (overflow_timeout)" if block else "is full"
        raise BackpressureError(
            f"{what}: the ring {stayed} ({ring.c.capacity()} slots); nothing was accepted, push again later")
    if first == RING_CLOSED:
        raise ClosedError(f"{what}: the engine is closed")
    ring.remember(first, n)
    return first


def try_claim_slot(Ring ring not None, *, double timeout=0.0):
    """A claimed slot of `ring`, or None when it stayed full for `timeout` seconds; ClosedError when closed."""
    cdef int64_t first = claim_blocking(ring.c, 1, <int64_t>(timeout * 1e9))
    if first == RING_CLOSED:
        raise ClosedError("the engine is closed")
    ring.remember(first, 1)
    return None if first == RING_FULL else first


def release_slot(Ring ring not None, int64_t sequence):
    """Publishes a claimed slot that says nothing: what it was claimed for did not come about. DISPLACE: nothing to do.

    Nothing happens either if the slot is published already: an interrupt came right after that.
    """
    cdef Slot *slot
    if sequence < 0 or ring.c.published(sequence):
        return
    slot = ring.c.at(sequence)
    slot.kind = SLOT_NOTHING
    slot.batch = NULL
    slot.note = NULL
    ring.c.publish(sequence)


cdef extern from "<thread>" nogil:
    void yield_now "std::this_thread::yield"()


cdef void let_go(Message *gone) noexcept nogil:
    if gone.batch != NULL:
        if gone.kind == SLOT_OPEN:
            (<OpenBatch *>gone.note).release()
        batch_release(<BatchC *>gone.batch)


cdef BatchC *adopt_quick(object data, Schema given, Schema layout) except NULL:
    """`data` of the schema `given`, exported without its schema."""
    cdef ArrowArray array
    cdef Fault fault
    cdef BatchC *c
    array.release = NULL
    data._export_to_c(<uintptr_t>&array)
    if array.length < GIL_ROWS:
        c = batch_adopt(&array, &given.c, &fault)
    else:
        with nogil:
            c = batch_adopt(&array, &given.c, &fault)
    if c == NULL:
        if array.release != NULL:
            array.release(&array)
        context = f"column '{given.names[fault.item]}'" if fault.item >= 0 else "this batch cannot be taken"
        raise fault_exception(&fault, context)
    c.layout = <PyObject *>layout
    return c


cdef class Intake:
    """The door of one stream (source id `id`, schema `schema`) into `ring`.

    time_column: index of the event time column, or -1.  lateness: in that column's unit.  quick_type: pyarrow's
    RecordBatch, or None (the core itself knows no Python library).  gather_rows: how many rows small pushes gather in one
    batch (below 2: each is a batch of its own).  Raises SchemaError for a time column of a type
    that is no time (integers but uint64, dates, times, timestamps, durations are).
    """
    def __cinit__(self, Ring ring not None, int id, Schema schema not None, *, int time_column=-1,
                  int64_t lateness=0, quick_type=None, int64_t gather_rows=0):
        if time_column >= len(schema.names):
            raise ValueError(f"time_column={time_column}: there are {len(schema.names)} columns")
        if lateness < 0:
            raise ValueError(f"lateness={lateness} must not be below zero")
        if time_column >= 0 and not time_kind(schema.kinds[time_column]):
            raise SchemaError(f"column '{schema.names[time_column]}' cannot be the event time: its Arrow type "
                              f"'{schema.formats[time_column]}' is neither a date, a time nor an integer within int64")
        self.rows = RowBuilder(schema)
        self.views = <Column *>calloc(len(schema.names) + 1, sizeof(Column))
        if self.views == NULL or (ring.drops and not ring.c.count_for(id)):
            raise MemoryError("no memory for a stream")
        self.open = NULL
        self.epoch = -1
        self.offered = 0
        self.owes = False
        self.gather_rows = gather_rows if self.rows.supports else 0
        self.ring = ring
        self.id = id
        self.schema = schema
        self.time_column = time_column
        self.lateness = lateness
        self.next = 0
        self.newest = INT64_MIN
        self.told = INT64_MIN
        self.newest_gauge.set(INT64_MIN)
        self.told_gauge.set(INT64_MIN)
        self.scanned = NULL
        self.given = schema
        self.layout = schema
        self.layouts = {schema.layout: schema}
        self.quick_type = quick_type
        self.quick_schema = None

    def __dealloc__(self):
        free(self.views)
        if self.open != NULL:
            self.open.release()

    @property
    def dropped(self):
        """(batches, events) of this stream that made way for later ones, in a ring that drops."""
        counts = self.ring.c.dropped(self.id)
        return counts.batches, counts.events

    @property
    def watermark(self):
        """No event before this time is still to come (an int in the time column's unit); None before any event."""
        cdef int64_t mark = self.mark_of(self.newest)
        return None if mark == INT64_MIN else mark

    @property
    def newest_time(self):
        """The newest time seen, or None."""
        return None if self.newest == INT64_MIN else self.newest

    @property
    def told_time(self):
        """The latest time that `advance` was told, or None."""
        return None if self.told == INT64_MIN else self.told

    def resume(self, int64_t next, newest, told):
        """Goes on where a stream was: the next sequence, the newest time seen and what `advance` was told (or None)."""
        self.leave()
        self.next = next
        self.newest = INT64_MIN if newest is None else newest
        self.told = INT64_MIN if told is None else told
        self.newest_gauge.set(self.newest)
        self.told_gauge.set(self.told)

    def figures(self):
        """(events, batches, newest time or None, watermark or None): what was taken in so far; from any thread."""
        cdef int64_t newest = self.newest_gauge.get()
        cdef int64_t mark = max(watermark_of(newest, self.lateness), self.told_gauge.get())
        return (self.events.get(), self.batches.get(), None if newest == INT64_MIN else newest,
                None if mark == INT64_MIN else mark)

    # ------------------------------------------------------------------ data -> Batch

    def adopt(self, data):
        """A Batch of anything with `__arrow_c_array__` (or a Batch), checked against the stream's schema.

        Raises SchemaError (naming column, given and expected type); then nothing has changed.
        """
        cdef Batch batch
        if self.quick_schema is not None and type(data) is self.quick_type and data.schema.equals(self.quick_schema):
            return Batch.wrap(adopt_quick(data, self.given, self.layout), self.given)
        batch = Batch.from_arrow(data, self.given)
        if batch.schema is not self.given:
            self.check(batch.schema)
            self.learn(batch.schema)
        batch.c.layout = <PyObject *>self.layout
        if type(data) is self.quick_type:
            self.quick_schema = data.schema
        return batch

    def check(self, Schema given not None):
        """Raises SchemaError when batches of schema `given` do not fit the stream."""
        mismatch = self.schema.mismatch(given)
        if mismatch:
            raise SchemaError(mismatch)

    cdef int learn(self, Schema given) except -1:
        """Makes `given` the layout of the coming batches."""
        layout = self.layouts.get(given.layout)
        if layout is None:
            if len(self.layouts) == LAYOUTS_MAX:
                raise SchemaError(f"these columns lie in more than {LAYOUTS_MAX} different combinations of layouts so far: "
                                  "let batches come in fewer (text as utf8 throughout, say)")
            self.layouts[given.layout] = layout = given
        self.layout = layout
        self.given = given
        self.quick_schema = None
        return 0

    # ------------------------------------------------------------------ event time

    def scan(self, Batch batch not None):
        """IN_ORDER, OUT_OF_ORDER or LATE: how the batch stands to the watermark; changes nothing.

        Raises OrderError for an event without a time.
        """
        cdef TimeScan found
        if self.time_column < 0 or batch.c.n_rows == 0:
            return IN_ORDER
        time_scan(&batch.c.columns[self.time_column], self.newest, self.lateness, self.told, &found)
        self.scanned = batch.c
        self.scanned_newest = found.newest
        if found.first_null >= 0:
            raise self.no_time(found.first_null)
        if found.first_late >= 0:
            return LATE
        return OUT_OF_ORDER if found.first_fall >= 0 else IN_ORDER

    def no_time(self, int64_t row):
        """The exception for an event without a time."""
        return OrderError(
            f"column '{self.schema.names[self.time_column]}' is null in row {row} of the batch, and it is "
            "the stream's event time: fill or drop such rows; nothing was accepted")

    def see(self, Batch batch not None):
        """Moves the newest time seen to that of `batch`, without putting it anywhere. Once for each accepted batch."""
        cdef TimeScan found
        found.newest = self.newest
        if self.time_column >= 0 and self.scanned == batch.c:     # `scan` came just before: the usual way
            found.newest = self.scanned_newest
            self.scanned = NULL
        elif self.time_column >= 0:
            time_scan(&batch.c.columns[self.time_column], self.newest, self.lateness, self.told, &found)
        self.count(batch.c.n_rows, found.newest)

    cdef void count(self, int64_t n_rows, int64_t newest) noexcept:
        """A push of so many events has been accepted, and `newest` is the newest time now."""
        self.events.grow(n_rows)
        self.batches.grow(1)
        self.newest = newest
        self.newest_gauge.set(newest)

    # ------------------------------------------------------------------ small pushes

    cdef int64_t mark_of(self, int64_t newest) noexcept:
        """The watermark when the newest time is `newest`."""
        return max(watermark_of(newest, self.lateness), self.told)

    cdef bint joins(self, int64_t rows) noexcept:
        """Whether `rows` rows may join the open batch; reads the epoch for the slot that is claimed if not."""
        self.epoch = self.ring.c.epoch()
        return self.open != NULL and self.open_epoch == self.epoch and self.open.rows() + rows <= self.gather_rows

    cdef bint join(self, const Column *columns, int64_t n, int64_t newest) noexcept:
        """`n` rows (<= OPEN_ROWS_MAX) join the open batch, and `newest` is the newest time then; False: they need a slot."""
        if not self.joins(n) or not open_append(self.open, columns, self.rows.n, n, self.mark_of(newest)):
            return False
        self.count(n, newest)
        self.next += n
        return True

    cdef void fill(self, Message *message, BatchC *batch, OpenBatch *open, int64_t n, int64_t newest) noexcept:
        """`message` is `batch`, with `n` rows, the next ones; takes it over. open: what small pushes join from now on, and
        `batch` is when it is closed, or NULL."""
        message.kind = SLOT_DATA if open == NULL else SLOT_OPEN
        message.batch = batch
        message.note = open
        message.base = self.next
        message.last = self.next + n - 1
        message.time = self.mark_of(newest)
        self.next += n
        self.leave()
        if open != NULL:
            open.retain()       # the slot's; ours follows
            self.open = open
            self.open_epoch = self.epoch

    cdef void leave(self) noexcept:
        """What goes in next comes behind the open batch: nothing joins that any more."""
        if self.open != NULL:
            self.open.release()
            self.open = NULL

    def event(self, event):
        """Takes one event given as a dict all the way in, if nothing needs a second look: int, float, str, bytes, bool and
        None in the columns where they belong, in order, room in the ring, nobody else at it. (`rows.supports`; a stream
        without lateness.) It needs no lock.

        Returns its sequence; or -1, and nothing has changed: `offer`, under the lock, takes it or says what is wrong.
        """
        cdef TimeScan found
        cdef int64_t first = -1
        cdef bint shown
        if type(event) is not dict or not self.latch.try_take():
            return -1
        if self.offered:        # as in offer
            self.forget_offered()
        if not self.shut and self.rows.fill_plain(<dict>event):
            self.offered = 1
            first = self.next
            if not self.in_order(&found) or self.place() != IS_TAKEN:
                first = -1
                self.forget_offered()
        shown = self.shown
        self.shown = False
        self.latch.leave()
        if shown:               # not under the latch: it may give up the GIL
            self.wake(True)
        return first

    def offer(self, events):
        """Takes some events given as dicts (1 to SMALL_ROWS; `rows.supports`; a stream without lateness).

        Returns TAKEN; WANTS_SLOT when the ring is full: put_offered(claimed slot) or forget_offered() follows; or SIDE_ROAD
        for events that are late or out of order: take_offered() follows. Raises SchemaError, OrderError or ClosedError, and
        then nothing has changed.
        """
        cdef TimeScan found
        if self.offered:        # an interrupt came between an offer and what follows it: that push was not accepted
            self.forget_offered()
        self.offered = self.rows.fill(events)
        if not self.in_order(&found):
            if found.first_null < 0:
                return SIDE_ROAD
            self.forget_offered()
            raise self.no_time(found.first_null)
        return self.placed(self.place())

    def put_offered(self, int64_t sequence):
        """Puts what was offered into the claimed slot `sequence` (or DISPLACE)."""
        self.placed(self.fill_slot(sequence))

    cdef int placed(self, int outcome) except -1:
        """What place and fill_slot say, with what follows."""
        if self.shown:
            self.shown = False
            self.wake(True)
        if outcome == IS_CLOSED:
            self.forget_offered()
            raise ClosedError("the engine is closed")
        if outcome == IS_WITHOUT_MEMORY:
            raise MemoryError("out of memory: a batch of rows")
        return outcome

    cdef bint in_order(self, TimeScan *found) noexcept:
        """Whether what is offered is in order and in time; else `found` says which row is not."""
        cdef int64_t i
        for i in range(self.rows.n):
            out_view(&self.rows.outs[i], &self.views[i])
        self.offered_newest = self.newest
        if self.time_column < 0:
            return True
        time_scan(&self.views[self.time_column], self.newest, self.lateness, self.told, found)
        self.offered_newest = found.newest
        return found.first_null < 0 and found.first_late < 0 and found.first_fall < 0

    cdef int place(self) noexcept:
        """What is offered joins the open batch, or gets a slot."""
        cdef int64_t sequence
        if self.join(self.views, self.offered, self.offered_newest):
            self.forget_offered()
            return IS_TAKEN
        sequence = self.ring.c.try_claim(1)
        if sequence == RING_FULL:
            return IS_WITHOUT_SLOT
        if sequence == RING_CLOSED:
            return IS_CLOSED
        return self.fill_slot(sequence)

    cdef int fill_slot(self, int64_t sequence) noexcept:
        cdef Message message
        cdef BatchC *batch = NULL
        cdef OpenBatch *open = NULL
        cdef int64_t n = self.offered
        if n < self.gather_rows and not (sequence >= 0 and self.ring.c.idle(sequence)):
            open = open_begin(self.rows.outs, self.rows.n, n, self.mark_of(self.offered_newest), &batch)
        else:
            batch = out_compact(self.rows.outs, self.rows.n, n)
            if batch == NULL:
                batch = out_export(self.rows.outs, self.rows.n, n)
        self.forget_offered()
        if batch == NULL:
            if sequence >= 0:
                message.kind = SLOT_NOTHING
                message.batch = NULL
                message.note = NULL
                self.show(sequence, &message)
            return IS_WITHOUT_MEMORY
        self.count(n, self.offered_newest)
        self.fill(&message, batch, open, n, self.offered_newest)
        return IS_TAKEN if self.show(sequence, &message) else IS_CLOSED

    def take_offered(self):
        """What was offered as a Batch of its own; it is not offered any more."""
        cdef BatchC *c = out_export(self.rows.outs, self.rows.n, self.offered)
        self.forget_offered()
        if c == NULL:
            raise MemoryError("out of memory: a batch of rows")
        return Batch.wrap(c, self.schema)

    def forget_offered(self):
        """Nothing is offered any more."""
        self.rows.clear()
        self.offered = 0

    def gather(self, Batch batch not None, *, bint seen=False):
        """Lets a small batch, which was found in order, join the open batch; False: it needs a slot, and `put`.

        seen: as for put.
        """
        cdef int64_t newest = self.newest
        if batch.c.n_rows > OPEN_ROWS_MAX or self.gather_rows < 2:
            return False
        if not seen and self.scanned == batch.c:
            newest = self.scanned_newest
        return self.join(batch.c.columns, batch.c.n_rows, newest)

    # ------------------------------------------------------------------ into the ring

    def batch(self, data):
        """Takes a record batch of `quick_type` all the way in, if nothing needs a second look: of the schema of the one
        before, in order, room in the ring, nobody else at it. (A stream without lateness.) It needs no lock.

        Returns the sequence of its first row; or -1, and nothing has changed: `adopt` and what follows, under the lock, take
        it or say what is wrong. Raises SchemaError for an array that breaks the Arrow format.
        """
        cdef BatchC *c
        cdef TimeScan found
        cdef int64_t first = -1
        cdef bint shown, small
        if type(data) is not self.quick_type or not self.latch.try_take():
            return -1
        quick, given, layout = self.quick_schema, self.given, self.layout
        self.latch.leave()              # the export gives up the GIL
        if quick is None or not data.schema.equals(quick):
            return -1
        c = adopt_quick(data, given, layout)
        small = c.n_rows < RELAY_ROWS
        if c.n_rows == 0 or not self.latch.try_take():
            batch_release(c)
            return -1
        found.newest = self.newest
        found.first_null = found.first_late = found.first_fall = -1
        if self.time_column >= 0:
            time_scan(&c.columns[self.time_column], self.newest, self.lateness, self.told, &found)
        if not self.shut and found.first_null < 0 and found.first_late < 0 and found.first_fall < 0:
            first = self.put_batch(c, found.newest)
        shown = self.shown
        self.shown = False
        self.latch.leave()
        if first < 0:
            batch_release(c)
        if shown:
            self.wake(small)
        return first

    cdef int64_t put_batch(self, BatchC *c, int64_t newest) noexcept:
        """A batch in order joins the open one, or gets a slot; takes it over. Returns its first sequence; -1: it did not."""
        cdef Message message
        cdef BatchC *copy = NULL
        cdef OpenBatch *open = NULL
        cdef int64_t n = c.n_rows
        cdef int64_t first = self.next
        cdef int64_t sequence
        if n <= OPEN_ROWS_MAX and self.gather_rows >= 2 and self.join(c.columns, n, newest):
            batch_release(c)
            return first
        sequence = self.ring.c.try_claim(1)
        if sequence < 0:
            return -1
        if n <= OPEN_ROWS_MAX and n < self.gather_rows and not self.ring.c.idle(sequence):
            open = open_copy(self.rows.outs, c.columns, self.rows.n, n, self.mark_of(newest), &copy)
        if open != NULL:
            batch_release(c)
            c = copy
        self.count(n, newest)
        self.fill(&message, c, open, n, newest)
        self.show(sequence, &message)
        return first

    cdef int send(self, int64_t sequence, Message *message) except -1:
        """Publishes `message` in the claimed slot `sequence`, or displaces the oldest batch for it; takes it over."""
        cdef bint small = message.last - message.base < RELAY_ROWS
        cdef bint open = self.show(sequence, message)
        if self.shown:
            self.shown = False
            self.wake(small)
        if not open:
            raise ClosedError("the engine is closed")
        return 0

    cdef bint show(self, int64_t sequence, Message *message) noexcept:
        """`send` without waking anybody: see `shown`. False: the ring is closed (never so for a claimed slot)."""
        cdef Message gone, gone_too
        cdef Slot *slot
        message.id = self.id
        message.mark = 0
        message.ticket = stamp()        # for figures: nothing decides by it
        if sequence < 0:
            sequence = self.ring.c.displace(message[0], &gone, &gone_too)
            self.ring.lossy = self.ring.lossy or gone.batch != NULL or sequence == RING_DROPPED
            let_go(&gone)
            let_go(&gone_too)
            self.owes = sequence == RING_DROPPED
            if sequence == RING_DROPPED or sequence == RING_CLOSED:
                self.leave()
                let_go(message)
            if sequence < 0:
                return sequence != RING_CLOSED
        self.owes = False
        slot = self.ring.c.at(sequence)
        (<Message *>slot)[0] = message[0]
        self.ring.c.show(sequence)
        self.shown = True
        return True

    cdef void wake(self, bint small) noexcept:
        """A slot was shown: whoever has to read it is woken."""
        if self.ring.c.asleep(small):
            # Whom this wakes may take the processor from this thread; it must not take the GIL with it.
            with nogil:
                self.ring.c.wake(small)
        else:
            self.ring.c.wake(small)

    def put(self, int64_t sequence, Batch batch not None, base=None, *, bint seen=False):
        """Publishes `batch` in the claimed slot `sequence` (or DISPLACE).

        base: sequence of its first row (None: the next one).  seen: `see` was called with these events already (they
        waited to be put in order).  Returns the first sequence.
        """
        cdef Message message
        cdef BatchC *copy = NULL
        cdef OpenBatch *open = NULL
        cdef int64_t n = batch.c.n_rows
        cdef int64_t first
        if not seen:
            self.see(batch)
        if base is not None:
            self.next = base
        first = self.next
        # An epoch was read: `gather` could have joined this batch to another one.
        if self.epoch >= 0 and n < self.gather_rows and n <= OPEN_ROWS_MAX and base is None and not (
                sequence >= 0 and self.ring.c.idle(sequence)):
            open = open_copy(self.rows.outs, batch.c.columns, self.rows.n, n, self.mark_of(self.newest), &copy)
        if open == NULL:
            copy = batch.c
            batch_retain(copy)
        self.fill(&message, copy, open, n, self.newest)
        self.epoch = -1
        self.send(sequence, &message)
        return first

    def advance(self, int64_t sequence, int64_t time):
        """Publishes "the watermark is `time`" in the claimed slot `sequence`; a time in the past changes nothing."""
        cdef Message message
        self.told = max(self.told, time)
        self.told_gauge.set(self.told)
        self.leave()
        message.kind = SLOT_ADVANCE
        message.batch = NULL
        message.note = NULL
        message.base = self.next
        message.last = self.next
        message.time = self.mark_of(self.newest)
        self.send(sequence, &message)


cdef class IntakeLock:
    """The lock of one stream: as threading.Lock; whoever has it has the latch of `intake` as well.

    >>> from tocsin_core.schema import Schema
    >>> intake = Intake(Ring(2), 0, Schema.from_fields(["n"], ["l"]), gather_rows=2)
    >>> with IntakeLock(intake):
    ...     intake.event({"n": 1})
    -1
    >>> intake.event({"n": 1})
    0
    """
    def __cinit__(self, Intake intake not None):
        self.intake = intake
        self.lock = threading.Lock()

    def acquire(self, blocking=True, timeout=-1):
        """Whether it could be taken; as threading.Lock.acquire."""
        if not self.lock.acquire(blocking, timeout):
            return False
        while not self.intake.latch.try_take():     # for no longer than one `event` takes
            with nogil:
                yield_now()
        return True

    def shut(self):
        """For the owner: from now on `event` and `batch` of the intake take nothing, and all goes by the lock."""
        self.intake.shut = True

    def release(self):
        """As threading.Lock.release, for its owner."""
        self.intake.latch.leave()
        self.lock.release()

    def locked(self):
        """Whether somebody has it."""
        return self.lock.locked()

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *_):
        self.release()
