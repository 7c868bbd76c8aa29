"""Intake: takes batches in for one stream: schema check, event time, and the way into a slot of the ring.

A push is three steps, so that a store can come between the second and the third and nothing is stored for which
there is no room:

    adopt    data -> Batch: capsules taken over, schema checked; nothing has changed if this fails
    claim    room in the ring (claim_slots)
    put      the slot is filled and published: the shard sees the batch

The layout of a column may differ from batch to batch within one logical type (schema.pyx: utf8, string_view, a
dictionary): `layouts` keeps one Schema for each combination seen, and the slot carries its number, so that a
batch that comes back out with a fault can be read.

Event time: `scan` says whether a batch is in order and in time (watermark.pyx); it changes nothing. `put` and
`advance` move the watermark. Sequences: `put` is told the first row's sequence (the store's), or counts by itself.

PERF: a pyarrow batch whose schema equals that of the one before is exported without its schema, through
`_export_to_c`, pyarrow's call for consumers that know the schema: 2.0 us instead of 2.9 us for 8 columns.

Threads: one at a time; the stream's lock in Python sees to it.
"""
from libc.stdint cimport INT64_MIN, int64_t, uintptr_t

from .arrow_abi cimport ArrowArray
from .batch cimport Batch, BatchC, batch_adopt, batch_retain
from .ring cimport RING_CLOSED, RING_FULL, SLOT_ADVANCE, SLOT_DATA, SLOT_NOTHING, Ring, Slot, claim_blocking
from .schema cimport Schema
from .status cimport Fault, fault_exception
from .watermark cimport TimeScan, time_kind, time_scan, watermark_of

from .status import BackpressureError, ClosedError, OrderError, SchemaError

IN_ORDER = 0        # of scan: every row is in order and in time
OUT_OF_ORDER = 1    # some row is earlier than one before it, all in time
LATE = 2            # some row is behind the watermark


def claim_slots(Ring ring not None, int64_t n, *, bint block, str what):
    """The first of `n` claimed slots of `ring`; a full ring is waited for (block) or refused.

    Raises BackpressureError (nothing claimed), ClosedError, or what a signal handler raised while waiting.
    """
    cdef int64_t first
    if n > ring.c.capacity():
        raise BackpressureError(
            f"{what}: {n} batches at once do not fit a ring of {ring.c.capacity()} slots; push fewer at a time, "
            "or make the engine with a larger ring_slots")
    first = claim_blocking(ring.c, n, -1 if block else 0)
    if first == RING_FULL:
        raise BackpressureError(
            f"{what}: the ring is full ({ring.c.capacity()} slots); nothing was accepted, push again later")
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
    """Publishes a claimed slot that says nothing: what it was claimed for did not come about.

    Nothing happens if the slot is published already: an interrupt came right after that.
    """
    cdef Slot *slot = ring.c.at(sequence)
    if ring.c.published(sequence):
        return
    slot.kind = SLOT_NOTHING
    slot.batch = NULL
    slot.note = NULL
    ring.c.publish(sequence)


cdef class Intake:
    """The door of one stream (source id `id`, schema `schema`) into `ring`.

    time_column: index of the event time column, or -1.  lateness: in that column's unit.  quick_type: pyarrow's
    RecordBatch, or None (the core itself knows no Python library).  Raises SchemaError for a time column of a type
    that is no time (integers but uint64, dates, times, timestamps, durations are).
    """
    def __cinit__(self, Ring ring not None, int id, Schema schema not None, *, int time_column=-1,
                  int64_t lateness=0, quick_type=None):
        if time_column >= len(schema.names):
            raise ValueError(f"time_column={time_column}: there are {len(schema.names)} columns")
        if lateness < 0:
            raise ValueError(f"lateness={lateness} must not be below zero")
        if time_column >= 0 and not time_kind(schema.kinds[time_column]):
            raise SchemaError(f"column '{schema.names[time_column]}' cannot be the event time: its Arrow type "
                              f"'{schema.formats[time_column]}' is neither a date, a time nor an integer within int64")
        self.ring = ring
        self.id = id
        self.schema = schema
        self.time_column = time_column
        self.lateness = lateness
        self.next = 0
        self.newest = INT64_MIN
        self.told = INT64_MIN
        self.scanned = NULL
        self.given = schema
        self.given_index = 0
        self.layouts = [schema]
        self.places = {}
        self.quick_type = quick_type
        self.quick_schema = None

    @property
    def watermark(self):
        """No event before this time is still to come (an int in the time column's unit); None before any event."""
        cdef int64_t mark = max(watermark_of(self.newest, self.lateness), self.told)
        return None if mark == INT64_MIN else mark

    @property
    def newest_time(self):
        """The newest time seen, or None."""
        return None if self.newest == INT64_MIN else self.newest

    @property
    def told_time(self):
        """The latest time that `advance` was told, or None."""
        return None if self.told == INT64_MIN else self.told

    def layout(self, int64_t index):
        """The Schema with number `index`, as slots carry it."""
        return self.layouts[index]

    # ------------------------------------------------------------------ data -> Batch

    def adopt(self, data):
        """A Batch of anything with `__arrow_c_array__` (or a Batch), checked against the stream's schema.

        Raises SchemaError (naming column, given and expected type); then nothing has changed.
        """
        cdef Batch batch
        if self.quick_schema is not None and type(data) is self.quick_type and data.schema.equals(self.quick_schema):
            return self.adopt_quick(data)
        batch = Batch.from_arrow(data, self.given)
        if batch.schema is not self.given:
            self.check(batch.schema)
            self.learn(batch.schema)
        if type(data) is self.quick_type:
            self.quick_schema = data.schema
        return batch

    def check(self, Schema given not None):
        """Raises SchemaError when batches of schema `given` do not fit the stream."""
        mismatch = self.schema.mismatch(given)
        if mismatch:
            raise SchemaError(mismatch)

    cdef Batch adopt_quick(self, object data):
        cdef ArrowArray array
        cdef Fault fault
        cdef BatchC *c
        array.release = NULL
        data._export_to_c(<uintptr_t>&array)
        with nogil:
            c = batch_adopt(&array, &self.given.c, &fault)
        if c == NULL:
            if array.release != NULL:
                array.release(&array)
            context = f"column '{self.given.names[fault.item]}'" if fault.item >= 0 else "this batch cannot be taken"
            raise fault_exception(&fault, context)
        return Batch.wrap(c, self.given)

    cdef int learn(self, Schema given) except -1:
        """Makes `given` the layout of the coming batches; one number for each combination of layouts."""
        cdef int64_t i
        cdef list key = []
        for i in range(given.c.n_children):
            key.append((<bytes>given.c.children[i].format, given.formats[i]))
        key = [tuple(key)]
        place = self.places.get(key[0])
        if place is None:
            place = len(self.layouts)
            self.layouts.append(given)
            self.places[key[0]] = place
        self.given_index = place
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
            raise OrderError(
                f"column '{self.schema.names[self.time_column]}' is null in row {found.first_null} of the batch, and it is "
                "the stream's event time: fill or drop such rows; nothing was accepted")
        if found.first_late >= 0:
            return LATE
        return OUT_OF_ORDER if found.first_fall >= 0 else IN_ORDER

    def see(self, Batch batch not None):
        """Moves the newest time seen to that of `batch`, without putting it anywhere."""
        cdef TimeScan found
        if self.time_column < 0:
            return
        if self.scanned == batch.c:     # `scan` came just before: the usual way
            self.newest = self.scanned_newest
            self.scanned = NULL
            return
        time_scan(&batch.c.columns[self.time_column], self.newest, self.lateness, self.told, &found)
        self.newest = found.newest

    # ------------------------------------------------------------------ into the ring

    def put(self, int64_t sequence, Batch batch not None, base=None, *, bint seen=False):
        """Publishes `batch` in the claimed slot `sequence`; `base`: sequence of its first row (None: the next one).

        seen: `see` was called with these events already (they waited to be put in order).
        """
        cdef Slot *slot = self.ring.c.at(sequence)
        if not seen:
            self.see(batch)
        if base is not None:
            self.next = base
        batch_retain(batch.c)
        slot.kind = SLOT_DATA
        slot.id = self.id
        slot.batch = batch.c
        slot.note = NULL
        slot.base = self.next
        slot.last = self.next + batch.c.n_rows - 1
        slot.time = max(watermark_of(self.newest, self.lateness), self.told)
        slot.ticket = self.given_index
        self.next += batch.c.n_rows
        self.ring.c.publish(sequence)
        return slot.base

    def advance(self, int64_t sequence, int64_t time):
        """Publishes "the watermark is `time`" in the claimed slot `sequence`; a time in the past changes nothing."""
        cdef Slot *slot = self.ring.c.at(sequence)
        self.told = max(self.told, time)
        slot.kind = SLOT_ADVANCE
        slot.id = self.id
        slot.batch = NULL
        slot.note = NULL
        slot.base = self.next
        slot.last = self.next
        slot.time = max(watermark_of(self.newest, self.lateness), self.told)
        slot.ticket = 0
        self.ring.c.publish(sequence)
