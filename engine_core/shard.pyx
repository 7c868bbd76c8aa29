"""Shard: takes batches from the inbox, runs the operators that listen, and passes on what they find.

    inbox ──▶ step ──▶ route ──▶ node.process ──▶ emit ──▶ outbox (worker) or items (inline)
                         ▲                          │
                         └── matches are a stream ──┘

One slot of the inbox is one *step*. A batch goes to every listener of its source; what a listener emits goes
out first and then, at once and in the same step, to the triggers that listen to it (topology.pyx). The same
step runs in two ways:

    run()     the body of a worker thread: waits on the inbox, steps, writes to the outbox; holds the GIL never. While it
              sleeps, the thread that waits in take() does its step for a small batch (relay.hpp), into `items`
    drain()   on the caller's thread: steps until the inbox is empty; the outgoing things wait in `items`

Outgoing things leave in the order of the slots that led to them: matches, faults, barriers and answers to control
slots alike. `take` gives them to Python, wrapped as tuples

    (kind, id, batch, first, last, fault, ticket, stamp)

kind is one of the SLOT_ numbers; `batch` a Batch or None: for SLOT_DATA the matches of trigger `id`, for SLOT_FAULT
the input that the trigger refused; first and last are the sequences of the input rows in the trigger's source;
`fault` is an exception or None; `stamp` says when the push that led to it was accepted (0: it was no push's). The stamp
is carried from slot to slot for figures only, and no clock is read here.

Faults: an operator that refuses a batch has not changed its state (operator.pxd); the refused batch goes out
with the fault, the other listeners go on, and the trigger sees the next batch.

Invariants: who has the turn (relay.hpp), else the shard's thread alone, touches `routes`, NodeC.emitted and the operators;
who takes, `items`. A reference to a batch is owned by exactly one of: inbox slot (a ring that recycles), outbox slot, items.
`room` for all that a step is sure to emit is made before the step begins, so that an inline step does not fail half-way.

Cost: a step with no listener ~20 ns (the release of the batch comes on top, see ring.hpp).
"""
from libc.stdint cimport INT64_MIN, int32_t, int64_t, uintptr_t
from libc.stdlib cimport free, malloc, realloc

from .arrow_abi cimport ArrowArray
from .batch cimport (PLACES, Batch, BatchC, array_alias, array_column, array_make, batch_release, batch_retain, batch_schema,
                     batch_set_aside)
from .builder cimport OutColumn, out_array, out_free, out_init, out_reserve
from .column cimport KIND_I32
from .intake cimport Intake
from .operator cimport SPREAD_KEYS, STAGE_RESULT, Operator
from .pool cimport PoolC, pool_close, pool_open
from .ring cimport (RING_CLOSED, RING_RELIEVE, SLOT_ADVANCE, SLOT_BARRIER, SLOT_CONTROL, SLOT_CUT, SLOT_DATA, SLOT_FAULT,
                    SLOT_FINISH, Message, Ring, Slot, claim_blocking)
from .schema cimport Schema
from .status cimport STATUS_NO_MEMORY, STATUS_OK, Fault, fault_exception, fault_set
from .topology cimport NodeC, Routes, RoutesC

from .status import ClosedError

DATA = SLOT_DATA
FINISH = SLOT_FINISH
CONTROL = SLOT_CONTROL
BARRIER = SLOT_BARRIER
FAULT = SLOT_FAULT
CUT = SLOT_CUT

TAKE_MAX = 256   # outgoing things per call of take: the GIL is taken once for so many


cdef void fill(Outgoing *item, int kind, int id, BatchC *batch, int64_t base, int64_t last) noexcept nogil:
    item.kind = kind
    item.id = id
    item.batch = batch
    item.base = base
    item.last = last
    item.note = NULL
    item.ticket = 0
    item.stamp = 0


cdef void discard(Outgoing *item) noexcept nogil:
    if item.batch != NULL:
        batch_release(item.batch)
    if item.kind == SLOT_FAULT:
        free(item.note)


cdef bint items_grow(ShardC *shard, int64_t room) noexcept nogil:
    cdef void *grown = realloc(shard.items, <size_t>room * sizeof(Outgoing))
    if grown == NULL:
        return False
    shard.items = <Outgoing *>grown
    shard.room = room
    return True


cdef void emit(ShardC *shard, Outgoing *item) noexcept nogil:
    """Passes `item` on, with its reference; waits for room in the outbox."""
    cdef int64_t sequence
    cdef Slot *slot
    item.stamp = shard.stamp
    if shard.outbox == NULL or shard.relieving:
        # reserve() made room for what a step is sure to send; matches without a value send a fault each on top of that.
        if shard.size == shard.room and not items_grow(shard, 2 * shard.size + 64):
            shard.lost += 1
            discard(item)
            return
        shard.items[shard.size] = item[0]
        shard.size += 1
        return
    sequence = shard.outbox.claim(1, -1)
    if sequence < 0:                        # closed by force: the engine gave up waiting for a handler
        shard.lost += 1
        discard(item)
        return
    slot = shard.outbox.at(sequence)
    slot.kind = item.kind
    slot.id = item.id
    slot.batch = item.batch
    slot.base = item.base
    slot.last = item.last
    slot.note = item.note
    slot.ticket = item.ticket
    slot.time = item.stamp
    shard.outbox.publish(sequence)


cdef bint reserve(ShardC *shard) noexcept nogil:
    """Room in `items` for all that one step is sure to emit; False when there is no memory (nothing has changed).

    A listener of a stream emits at most twice a step (batch, then watermark), one further down at most once for each
    time its parent does, and once more at the end of input.
    """
    cdef int64_t most
    most = 1
    if shard.routes != NULL:
        most += <int64_t>shard.routes.n_nodes * (shard.routes.depth + 2)
    if shard.size + most <= shard.room:
        return True
    return items_grow(shard, 2 * (shard.size + most))


cdef void report(ShardC *shard, NodeC *node, Fault *fault, BatchC *batch, int64_t base, int64_t last) noexcept nogil:
    """Sends a fault out, with a reference of its own to the batch that led to it (or NULL)."""
    cdef Outgoing item
    cdef Fault *copy = <Fault *>malloc(sizeof(Fault))
    if batch != NULL:
        batch_retain(batch)
    fill(&item, SLOT_FAULT, node.id, batch, base, last)
    if copy != NULL:        # else take() says "out of memory", which it is
        copy[0] = fault[0]
        item.note = copy
    emit(shard, &item)


cdef void settle(ShardC *shard, NodeC *node, int status, BatchC *out, Fault *fault, BatchC *batch,
                 int64_t base, int64_t last) noexcept nogil:
    """What follows a call of an operator: matches go out and on to their listeners, or the fault does."""
    cdef Outgoing item
    cdef int64_t first
    if status != STATUS_OK:
        fault.code = status
        report(shard, node, fault, batch, base, last)
        return
    if out == NULL:
        return
    if out.n_rows == 0:
        batch_release(out)
        return
    if node.placed and out.places == NULL and batch_set_aside(out) != STATUS_OK:
        batch_release(out)
        clear(fault)
        fault_set(fault, STATUS_NO_MEMORY, -1, -1, 0, 0, "where the matches lie")
        report(shard, node, fault, NULL, base, last)
        return
    first = node.emitted
    node.emitted += out.n_rows
    batch_retain(out)
    fill(&item, SLOT_DATA, node.id, out, base, last)
    item.ticket = first
    emit(shard, &item)
    route(shard, node.id, out, first, INT64_MIN)
    batch_release(out)


cdef void clear(Fault *fault) noexcept nogil:
    fault.code = STATUS_OK
    fault.item = -1
    fault.row = -1
    fault.value = 0
    fault.other = 0
    fault.text = NULL
    fault.stage = 0
    fault.more = 0


cdef void rest(ShardC *shard, NodeC *node, int status, BatchC *out, Fault *fault, BatchC *batch,
               int64_t base, int64_t last) noexcept nogil:
    """settle(), and what waits behind matches without a value: each of those is a fault of its own, without rows,
    since the batch was taken."""
    while status != STATUS_OK and fault.stage >= STAGE_RESULT:
        settle(shard, node, status, NULL, fault, NULL, base, last)
        clear(fault)
        out = NULL
        batch = NULL
        if base < 0:        # the input has ended
            status = (<Operator>node.operation).finish(&out, fault)
        else:
            status = (<Operator>node.operation).advance(INT64_MIN, &out, fault)
    settle(shard, node, status, out, fault, batch, base, last)


cdef void route(ShardC *shard, int32_t source, BatchC *batch, int64_t base, int64_t time) noexcept nogil:
    """Gives `batch` (or NULL: only the watermark `time` has moved) to every listener of `source`; borrows it."""
    cdef const RoutesC *routes = shard.routes
    cdef NodeC *node
    cdef BatchC *out
    cdef Fault fault
    cdef int32_t i
    cdef int status
    cdef int64_t last = base
    cdef PoolC *pool
    if routes == NULL or source >= routes.n_sources:
        return
    pool = routes.pools[source]
    if batch != NULL:
        last = base + batch.n_rows - 1
        if pool != NULL:
            pool_open(pool, batch)
    for i in range(routes.first[source], routes.first[source + 1]):
        node = routes.nodes[i]
        if batch != NULL:
            clear(&fault)
            out = NULL
            status = (<Operator>node.operation).process(batch, base, &out, &fault)
            rest(shard, node, status, out, &fault, batch, base, last)
        if time != INT64_MIN and node.timed:
            clear(&fault)
            out = NULL
            status = (<Operator>node.operation).advance(time, &out, &fault)
            rest(shard, node, status, out, &fault, NULL, last, last)
    if pool != NULL:
        pool_close(pool)


cdef void finish(ShardC *shard, int32_t source) noexcept nogil:
    """End of input for the listeners of `source`: each says its last, its listeners hear it, then end themselves."""
    cdef const RoutesC *routes = shard.routes
    cdef NodeC *node
    cdef BatchC *out
    cdef Fault fault
    cdef int32_t i
    cdef int status
    for i in range(routes.first[source], routes.first[source + 1]):
        node = routes.nodes[i]
        clear(&fault)
        out = NULL
        status = (<Operator>node.operation).finish(&out, &fault)
        rest(shard, node, status, out, &fault, NULL, -1, -1)
        finish(shard, node.id)


# ---------------------------------------------------------------- the state of all triggers at one place

cdef class Cut:
    """The state of every trigger between two batches, the same two for all: what a checkpoint keeps.

    states      {(trigger's source id, number of the instance): bytes of Operator.save}, of those that have one
    emitted     {trigger's source id: how many matches it had found}
    failure     None, or why it is not whole
    filled      whether all of it is there

    >>> Cut().states
    {}
    """
    def __cinit__(self):
        self.states = {}
        self.emitted = {}
        self.failure = None

    def of(self, int id):
        """The states of trigger `id`, by instance; none, if it has none."""
        cdef int instance = 0
        cdef list found = []
        while (id, instance) in self.states:
            found.append(self.states[id, instance])
            instance += 1
        return found

    cdef int keep(self, int id, int instance, Operator operator) except -1:
        try:
            self.states[id, instance] = operator.save()
        except NotImplementedError:
            pass
        return 0


cdef bint is_root(const RoutesC *routes, int32_t source) noexcept nogil:
    cdef int32_t i
    for i in range(routes.n_roots):
        if routes.roots[i] == source:
            return True
    return False


cdef void cut_operators(ShardC *shard, void *note, int worker) noexcept with gil:
    """What the operators of `worker` keep that are stepped by it alone, or by partition (-1: all there are)."""
    cdef const RoutesC *routes = shard.routes
    cdef int32_t source, i, k
    cdef const NodeC *node
    cdef Cut cut = <Cut>note
    if routes == NULL:
        return
    try:
        for source in range(routes.n_sources):
            if worker >= 0 and not is_root(routes, source):
                continue                # triggers upon triggers are stepped by whoever completes a job
            for i in range(routes.first[source], routes.first[source + 1]):
                node = routes.nodes[i]
                for k in range(node.n_instances):
                    if worker < 0 or worker == (k if node.spread == SPREAD_KEYS else node.owner):
                        cut.keep(node.id, k, <Operator>node.instances[k])
    except BaseException as failure:
        cut.failure = failure


cdef void cut_upon(ShardC *shard, void *note) noexcept with gil:
    """The same for triggers upon triggers; and how much every trigger has found."""
    cdef const RoutesC *routes = shard.routes
    cdef int32_t source, i
    cdef const NodeC *node
    cdef Cut cut = <Cut>note
    if routes == NULL:
        cut.filled = True
        return
    try:
        for source in range(routes.n_sources):
            for i in range(routes.first[source], routes.first[source + 1]):
                node = routes.nodes[i]
                cut.emitted[node.id] = node.emitted
                if not is_root(routes, source) and (node.id, 0) not in cut.states:
                    cut.keep(node.id, 0, <Operator>node.operation)
    except BaseException as failure:
        cut.failure = failure
    cut.filled = True


cdef void step(ShardC *shard, Message *slot) noexcept nogil:
    """What one slot of the inbox says; its batch is the ring's, which recycles it."""
    cdef Outgoing item
    cdef BatchC *batch = <BatchC *>slot.batch
    cdef int32_t i
    shard.stamp = slot.ticket if slot.kind == SLOT_DATA or slot.kind == SLOT_ADVANCE else 0
    if slot.kind == SLOT_DATA:
        route(shard, slot.id, batch, slot.base, slot.time)
    elif slot.kind == SLOT_ADVANCE:
        route(shard, slot.id, NULL, slot.base, slot.time)
    elif slot.kind == SLOT_CONTROL:
        shard.routes = <const RoutesC *>slot.note
        fill(&item, SLOT_CONTROL, 0, NULL, 0, 0)
        item.ticket = slot.ticket
        emit(shard, &item)
    elif slot.kind == SLOT_BARRIER:
        fill(&item, SLOT_BARRIER, 0, NULL, 0, 0)
        item.ticket = slot.ticket
        emit(shard, &item)
    elif slot.kind == SLOT_CUT:
        cut_operators(shard, slot.note, -1)
        cut_upon(shard, slot.note)
        fill(&item, SLOT_CUT, 0, NULL, 0, 0)
        item.ticket = slot.ticket
        emit(shard, &item)
    elif slot.kind == SLOT_FINISH and not shard.finished:
        shard.finished = True
        if shard.routes != NULL:
            for i in range(shard.routes.n_roots):
                finish(shard, shard.routes.roots[i])


cdef void pass_by(ShardC *shard) noexcept nogil:
    """The next slot: the step, and it may be used again. One by one: a producer waiting for room need not wait for all."""
    cdef Message message
    shard.inbox.enter(shard.reader, &message)
    if message.kind == SLOT_BARRIER:
        shard.inbox.advance(shard.reader, 1)    # who waits for it finds the ring as empty as it is
        step(shard, &message)
        return
    step(shard, &message)
    shard.inbox.advance(shard.reader, 1)


cdef void work(ShardC *shard) noexcept nogil:
    """The life of a worker: until the inbox is closed and read to its end; then nothing more can go out."""
    cdef int64_t n = 0
    cdef int64_t _i
    cdef bint shared = shard.inbox.shared()
    while n != RING_CLOSED:
        n = shard.inbox.wait_turn(shard.reader) if shared else shard.inbox.wait(shard.reader, -1)
        for _i in range(n):
            pass_by(shard)
        if shared:
            shard.inbox.pass_turn()
    shard.outbox.close()


cdef int64_t watch(ShardC *shard, int outbox_reader, int64_t timeout_ns) noexcept nogil:
    """As RingC.wait on the outbox, but does the worker's step for him when he is idle: returns 0 then, and `items` has
    what it found."""
    cdef int64_t n
    while True:
        n = shard.outbox.watch(outbox_reader, shard.inbox[0], shard.reader, timeout_ns)
        if n != RING_RELIEVE:
            return n
        if not reserve(shard):          # no memory: the worker needs none to send what it finds
            shard.inbox.pass_turn()
            shard.inbox.go_away(shard.reader)
            return shard.outbox.wait(outbox_reader, timeout_ns)
        shard.relieving = True
        pass_by(shard)
        shard.relieving = False
        shard.inbox.pass_turn()
        if shard.head < shard.size:
            shard.inbox.go_handle()
            return 0


cdef int64_t work_inline(ShardC *shard) noexcept nogil:
    """Steps until the inbox is empty; how many, or -1 when memory ran out (what is left stays in the inbox)."""
    cdef int64_t steps = 0
    while shard.inbox.available(shard.reader) > 0:
        if not reserve(shard):
            return -1
        pass_by(shard)
        steps += 1
    shard.inbox.reclaim()
    return steps


cdef class Shard:
    """One worker's part: reads `inbox`; writes to `outbox`, or with None keeps what it finds until `take`.

    Either one thread calls run() once and another take(), or (outbox=None) one thread at a time calls drain() and
    take(). The caller makes a trigger known before the control slot that brings it, and forgets it after the
    answer to the one that takes it away.

    >>> from tocsin_core.ring import Ring
    >>> shard = Shard(Ring(8, recycles=True))
    >>> shard.barrier(7)
    >>> shard.drain()
    1
    >>> [(kind == BARRIER, ticket) for kind, *_, ticket, stamp in shard.take()]
    [(True, 7)]
    """
    def __cinit__(self, Ring inbox not None, Ring outbox=None, int workers=1):
        self.inbox = inbox
        self.outbox = outbox
        self.known = {}
        self.c.inbox = inbox.c
        self.c.reader = inbox.join()
        self.c.outbox = NULL
        if outbox is not None:
            self.c.outbox = outbox.c
            self.outbox_reader = outbox.join()
            if workers == 1:
                inbox.c.share(outbox.c[0])

    def __dealloc__(self):
        cdef int64_t i
        for i in range(self.c.head, self.c.size):
            discard(&self.c.items[i])
        free(self.c.items)

    @property
    def lost(self):
        """How many outgoing things were let go because the outbox was closed by force."""
        return self.c.lost

    def know(self, int id, Operator operator, source=None, Schema output=None):
        """Who is behind source id `id`: its operator, and the Intake or Operator that feeds it (None: forget it).

        output: the schema of its matches, if that is not the operator's: of what it finds, columns are set aside.
        """
        if operator is None:
            self.known.pop(id, None)
        else:
            self.known[id] = (operator, source, operator.output if output is None else output)

    def run(self, int worker=0):
        """The body of the worker thread: returns when the inbox is closed and empty, and closes the outbox."""
        if self.c.outbox == NULL:
            raise ValueError("a shard without an outbox is drained, not run")
        with nogil:
            work(&self.c)

    def drain(self, into=None):
        """Takes all steps there are, on this thread; returns their number. into: a deque that gets what is found."""
        cdef int64_t steps
        if self.c.outbox != NULL:
            raise ValueError("a shard with an outbox is run by its thread, not drained")
        if self.c.inbox.available(self.c.reader) == 0:
            return 0
        with nogil:
            steps = work_inline(&self.c)
        if into is not None:
            self.take_items(into, self.c.size)
        if steps < 0:
            raise MemoryError("no memory for the matches; the events wait in the ring: flush() tries again")
        return steps

    cdef int take_items(self, found, int64_t most) except -1:
        """The first `most` things of `items`, to the end of `found`."""
        while self.c.head < self.c.size and most > 0:
            self.c.head += 1
            found.append(self.wrap(&self.c.items[self.c.head - 1]))
            most -= 1
        if self.c.head == self.c.size:
            self.c.head = self.c.size = 0
        return 0

    def take(self, *, timeout=0.0, into=None):
        """The next outgoing things, at most TAKE_MAX, in order; [] for none in `timeout` seconds (None: for ever).

        into: a deque that gets them too, at once, so that no signal handler can come between.
        Returns None when the outbox is closed and empty.
        """
        cdef list found = []
        cdef int64_t n, i, place, limit
        cdef Outgoing item
        cdef Slot *slot
        limit = -1 if timeout is None else <int64_t>(timeout * 1e9)
        n = 0
        if self.c.outbox != NULL and self.c.head == self.c.size:
            n = self.c.outbox.available(self.outbox_reader)
            if limit == 0 and self.c.inbox.shared():
                self.c.inbox.go_away(self.c.reader)     # a handler waits for the worker
            elif n == 0 and limit != 0:
                with nogil:
                    if self.c.inbox.shared():
                        n = watch(&self.c, self.outbox_reader, limit)
                    else:
                        n = self.c.outbox.wait(self.outbox_reader, limit)
        if self.c.head < self.c.size or self.c.outbox == NULL:
            self.take_items(found, TAKE_MAX)
            if into is not None:
                into.extend(found)
            return found
        if n == RING_CLOSED:
            return None
        place = self.c.outbox.position(self.outbox_reader)
        for i in range(min(n, <int64_t>TAKE_MAX)):
            slot = self.c.outbox.at(place + i)
            fill(&item, slot.kind, slot.id, <BatchC *>slot.batch, slot.base, slot.last)
            item.note = slot.note
            item.ticket = slot.ticket
            item.stamp = slot.time
            slot.batch = NULL
            slot.note = NULL
            self.c.outbox.advance(self.outbox_reader, 1)
            found.append(self.wrap(&item))
        if into is not None:
            into.extend(found)
        return found

    cdef tuple wrap(self, Outgoing *item):
        """One outgoing thing as a tuple; its reference goes over to the Batch."""
        cdef Operator operator
        cdef Schema schema
        cdef Batch batch = None
        cdef object fault = None
        cdef Fault record
        if item.kind == SLOT_FAULT:
            clear(&record)
            if item.note != NULL:
                record = (<Fault *>item.note)[0]
                free(item.note)
                operator = self.known[item.id][0]
                fault = (record.row, fault_exception(&record, operator.context(&record) if operator is not None else ""))
            else:
                fault = (-1, MemoryError("no memory to say what was wrong"))
        if item.batch != NULL:
            operator, source, schema = self.known[item.id]
            if item.kind != SLOT_DATA:
                schema = operator.input if isinstance(source, Operator) else (<Intake>source).schema
            batch = Batch.wrap(item.batch, batch_schema(item.batch, schema))
        return item.kind, item.id, batch, item.base, item.last, fault, item.ticket, item.stamp

    # ------------------------------------------------------------------ what the engine itself puts into the inbox

    def post(self, int64_t sequence, int kind, *, int id=0, int64_t time=INT64_MIN, int64_t base=0, int64_t ticket=0):
        """Fills and publishes the claimed slot `sequence` of the inbox with a message that has no batch."""
        cdef Slot *slot = self.inbox.c.at(sequence)
        slot.kind = kind
        slot.id = id
        slot.batch = NULL
        slot.note = NULL
        slot.base = base
        slot.last = base
        slot.time = time
        slot.ticket = ticket
        self.inbox.c.fence()
        self.inbox.c.publish(sequence)

    def barrier(self, int64_t ticket):
        """Puts a barrier into the inbox: it comes out of take() after all that was put in before. Claims a slot."""
        cdef int64_t sequence = claim_blocking(self.inbox.c, 1, -1)
        if sequence < 0:
            raise ClosedError("the engine is closed")
        self.post(sequence, SLOT_BARRIER, ticket=ticket)

    def cut(self, int64_t sequence, Cut cut not None, int64_t ticket):
        """Publishes "fill `cut`" in the claimed slot `sequence`; answered by (CUT, ..., ticket). The caller keeps `cut`."""
        cdef Slot *slot = self.inbox.c.at(sequence)
        slot.kind = SLOT_CUT
        slot.id = 0
        slot.batch = NULL
        slot.note = <void *>cut
        slot.base = slot.last = 0
        slot.time = INT64_MIN
        slot.ticket = ticket
        self.inbox.c.fence()
        self.inbox.c.publish(sequence)

    def switch(self, int64_t sequence, Routes routes not None, int64_t ticket):
        """Publishes a new version of the table in the claimed slot `sequence`; answered by (CONTROL, ..., ticket).

        The caller keeps `routes` until a later version has been answered.
        """
        cdef Slot *slot = self.inbox.c.at(sequence)
        slot.kind = SLOT_CONTROL
        slot.id = 0
        slot.batch = NULL
        slot.note = &routes.c
        slot.base = slot.last = 0
        slot.time = INT64_MIN
        slot.ticket = ticket
        self.inbox.c.fence()
        self.inbox.c.publish(sequence)


def export_array(Batch batch not None, uintptr_t address):
    """Writes an ArrowArray over the batch's memory to the (released) struct at `address`: no schema, no capsules.

    For a consumer that has the schema already: pyarrow's `_import_from_c`.
    """
    if array_alias(<ArrowArray *>address, &batch.c.array, batch.c) != STATUS_OK:
        raise MemoryError("out of memory: an array to hand out")


cdef int place_columns(ArrowArray *out, BatchC *batch, int32_t version) noexcept nogil:
    """The columns of `batch`, one that says `version` in each row, and the batch's places."""
    cdef OutColumn column
    cdef int64_t i, row, n = batch.n_columns, rows = batch.n_rows
    cdef int status = array_make(out, rows, 0, 1, 0, n + 1 + PLACES, NULL)
    if status != STATUS_OK:
        out.release = NULL
        return status
    for i in range(n + 1 + PLACES):
        if i < n:
            status = array_column(out.children[i], batch, i)
        elif i > n:
            status = array_column(out.children[i], batch.places, i - n - 1)
        else:
            out_init(&column, KIND_I32, 0)
            status = out_reserve(&column, rows)
            if status == STATUS_OK:
                for row in range(rows):
                    (<int32_t *>column.values)[row] = version
                column.length = rows
                status = out_array(&column, 0, NULL, out.children[i])
            if status != STATUS_OK:
                out_free(&column)
        if status != STATUS_OK:
            out.release(out)
            return status
    return STATUS_OK


def export_placed(Batch batch not None, int32_t version, uintptr_t address):
    """As `export_array`, with `version` (int32) and the two columns of the batch's places (int64) behind its columns.

    The batch has places.
    """
    if batch.c.places == NULL:
        raise ValueError("this batch does not say where its rows lie")
    if place_columns(<ArrowArray *>address, batch.c, version) != STATUS_OK:
        raise MemoryError("out of memory: an array to hand out")
