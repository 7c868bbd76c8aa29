"""Crew: a shard that several workers run together: each keeps the state of its own partitions.

    inbox ──▶ worker 0: every slot, its own rows ──┐
          ──▶ worker 1: every slot, its own rows ──┼─▶ who leaves a job last: parts → one batch ──▶ outbox
          ──▶ ...                                  ┘                                └▶ triggers upon the trigger

Every worker reads every slot of the inbox. A batch and a trigger that listens to it make one *job* (jobs.hpp says how
workers go through jobs), and what happens in it depends on the trigger's operator (operator.pxd, Spread):

    by partition    the batch is cut into segments; whichever worker is free prepares a segment: which rows matter,
                    their letters, whose they are. Then every worker takes its own rows of all segments. If some
                    rows can still refuse the batch by then, all evaluate first and vote, so that a refused batch
                    changes nothing anywhere, as with one worker.
    no state        one worker does all of it, the next batch another one.
    whole           always the same worker: patterns without PARTITION BY, and those in which a library has a part.

Who leaves a job last merges what the workers found into the order of one worker (merge.pyx), sends it out, and gives it to
the triggers upon this trigger, whose operators are run there and then: jobs are completed one after the other, so each
of them sees what it would see with one worker. All that leaves the shard (matches, their order, faults, sequences) is
therefore what `Shard.run` would give.

PERF: preparing once, by whoever is free, against every worker looking at every row for itself: benchmarks/shares.py
measures both, for 2 to 64 workers.

Memory: a job has 5 bytes for each row of its batch while it is under way (spares.hpp); at most JOBS_UNDER_WAY jobs are, and
a worker that waits looks AHEAD_MAX jobs ahead.
"""
from cpython.ref cimport PyObject
from libc.stdint cimport INT64_MIN, int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memset

from .batch cimport Batch, BatchC, batch_release
from .histogram cimport stamp
from .jobs cimport JOB_AWAY, JOB_OPENER, Jobs, Patience
from .merge cimport merge_matches
from .operator cimport SPREAD_BATCHES, SPREAD_KEYS, STAGE_RESULT, Operator, Piece
from .pool cimport PoolC, pool_close, pool_open
from .ring cimport (RING_CLOSED, SLOT_ADVANCE, SLOT_BARRIER, SLOT_CONTROL, SLOT_CUT, SLOT_DATA, SLOT_FINISH, SLOT_NOTHING,
                    Message)
from .shard cimport Outgoing, Shard, clear, cut_operators, cut_upon, emit, fill, finish, report, settle
from .spares cimport Spares
from .status cimport STATUS_CAPACITY, STATUS_NO_MEMORY, STATUS_OK, Fault, fault_exception, fault_set
from .topology cimport NodeC, RoutesC

import threading


cdef inline PyObject *instance(const NodeC *node, int worker) noexcept nogil:
    return node.instances[worker if node.n_instances > 1 else 0]


# ---------------------------------------------------------------- which jobs a slot brings

cdef int64_t jobs_of(const WorkerC *w, const Message *slot) noexcept nogil:
    """How many, as long as the routes are those of `w`."""
    cdef const RoutesC *routes = w.shard.routes
    cdef int64_t n = 0
    cdef int32_t i
    if slot.kind == SLOT_CONTROL or slot.kind == SLOT_BARRIER or slot.kind == SLOT_CUT:
        return 1
    if routes == NULL or slot.kind == SLOT_NOTHING:
        return 0
    if slot.kind == SLOT_FINISH:
        if not w.shard.finished:
            for i in range(routes.n_roots):
                n += routes.first[routes.roots[i] + 1] - routes.first[routes.roots[i]]
        return n
    if slot.id >= routes.n_sources:
        return 0
    return routes.first[slot.id + 1] - routes.first[slot.id]


cdef NodeC *node_of(const WorkerC *w, const Message *slot, int64_t index) noexcept nogil:
    """The trigger of a slot's job; NULL: the job is a message to the shard itself."""
    cdef const RoutesC *routes = w.shard.routes
    cdef int64_t n
    cdef int32_t i
    if slot.kind == SLOT_CONTROL or slot.kind == SLOT_BARRIER or slot.kind == SLOT_CUT:
        return NULL
    if slot.kind != SLOT_FINISH:
        return routes.nodes[routes.first[slot.id] + index]
    for i in range(routes.n_roots):
        n = routes.first[routes.roots[i] + 1] - routes.first[routes.roots[i]]
        if index < n:
            return routes.nodes[routes.first[routes.roots[i]] + index]
        index -= n
    return NULL


# ---------------------------------------------------------------- opening a job

cdef bint work_reserve(Work *work, Spares *spares, int64_t rows, int64_t n_segments, int n_workers) noexcept nogil:
    cdef void *p
    work.rows = <int32_t *>spares.take(rows * ROW_BYTES, &work.rows_bytes)
    if work.rows == NULL:
        return False
    work.letters = <uint8_t *>(work.rows + rows)
    if n_segments > work.segments_room:
        p = realloc(work.segments, n_segments * sizeof(Segment))
        if p == NULL:
            return False
        work.segments = <Segment *>p
        p = realloc(work.ends, n_segments * n_workers * sizeof(int32_t))
        if p == NULL:
            return False
        work.ends = <int32_t *>p
        work.segments_room = <int32_t>n_segments
    return True


cdef bint within_limits(NodeC *node, int n_workers, Fault *fault) noexcept nogil:
    """Whether the trigger's state, all workers together, is within its limits. What they have told by now is counted: a
    batch or two may come in between."""
    cdef int64_t n_open = 0, n_partitions = 0
    cdef int i
    for i in range(n_workers):
        n_open += (<Operator>instance(node, i)).open_gauge.get()
        n_partitions += (<Operator>instance(node, i)).partitions_gauge.get()
    return (<Operator>instance(node, 0)).within_limits(n_open, n_partitions, fault) == STATUS_OK


cdef void work_cut(Work *work, int64_t n, int64_t segments, int n_workers) noexcept nogil:
    """`n` rows fall into `segments` segments, for which there is room and which nobody has prepared."""
    cdef int64_t i
    cdef Segment *s
    for i in range(segments):
        s = &work.segments[i]
        s.start = <int32_t>(i * SEGMENT_ROWS)
        s.n = <int32_t>min(n - i * SEGMENT_ROWS, SEGMENT_ROWS)
        s.ends = work.ends + i * n_workers
        s.status = STATUS_OK
    work.n_segments = <int32_t>segments


cdef void work_open(WorkerC *w, Jobs *jobs, Work *work, int n_workers, Message *slot, int64_t slot_sequence, NodeC *node,
                    int64_t job) noexcept nogil:
    """Fills the record of a job, and shows it to the others."""
    cdef int64_t n, segments = 0
    cdef bint votes = False
    work.kind = slot.kind
    work.node = node
    work.batch = <BatchC *>slot.batch if slot.kind == SLOT_DATA else NULL
    work.base = slot.base
    work.last = slot.base
    work.time = slot.time if slot.kind == SLOT_DATA or slot.kind == SLOT_ADVANCE else INT64_MIN
    work.ticket = slot.ticket
    work.note = slot.note if slot.kind == SLOT_CUT else NULL
    work.owner = -1
    work.stamp = slot.ticket if slot.kind == SLOT_DATA or slot.kind == SLOT_ADVANCE else 0
    work.n_segments = 0
    clear(&work.refusal)
    if work.batch != NULL:
        work.last = work.base + work.batch.n_rows - 1
    if node != NULL and node.spread != SPREAD_KEYS:
        # All conditions see a slot on the same worker: they may share what they work out for a batch.
        work.owner = <int32_t>(slot_sequence % n_workers) if node.spread == SPREAD_BATCHES else node.owner
        if slot.kind == SLOT_FINISH or slot.kind == SLOT_ADVANCE:
            work.owner = node.owner
    elif node != NULL and work.batch != NULL:
        n = work.batch.n_rows
        segments = (n + SEGMENT_ROWS - 1) // SEGMENT_ROWS
        if not within_limits(node, n_workers, &work.refusal):
            segments = 0
        elif n > 0x7fffffff:
            fault_set(&work.refusal, STATUS_CAPACITY, -1, -1, n, 0x7fffffff, "the rows of a batch")
            segments = 0
        elif not work_reserve(work, w.spares, n, segments, n_workers):
            fault_set(&work.refusal, STATUS_NO_MEMORY, -1, -1, 0, 0, "the rows of a batch")
            segments = 0
        work_cut(work, n, segments, n_workers)
        votes = work.refusal.code == STATUS_OK and (<Operator>instance(node, 0)).votes
    jobs.opened(job, <int>segments, votes)


cdef void segment_prepare(WorkerC *w, Work *work, int number, int n_workers) noexcept nogil:
    cdef Segment *s = &work.segments[number]
    clear(&s.fault)
    s.status = (<Operator>instance(work.node, w.number)).prepare(
        work.batch, s.start, s.n, n_workers, work.rows + s.start, work.letters + s.start, s.ends, &s.lettered, &s.fault)


cdef bint help_ahead(WorkerC *w, Jobs *jobs, Work *works, int n_workers) noexcept nogil:
    """Prepares a segment of a job that lies ahead; False: there is none that may be touched yet."""
    cdef Message *slot
    cdef Work *work
    cdef int entry, number
    if w.ahead_job <= w.job:            # `ahead` stands at the job under way, or was passed
        return False
    while w.ahead_job < w.job + AHEAD_MAX and w.ahead_slot < w.known:
        if w.ahead_entered != w.ahead_slot:
            w.shard.inbox.enter_at(w.ahead_slot, &w.ahead)
            w.ahead_entered = w.ahead_slot
        slot = &w.ahead
        if slot.kind == SLOT_CONTROL or slot.kind == SLOT_FINISH:
            return False                # the routes are others behind it
        if w.ahead_index >= jobs_of(w, slot):
            w.ahead_slot += 1
            w.ahead_index = 0
            continue
        work = &works[jobs.place(w.ahead_job)]
        entry = jobs.try_enter(w.ahead_job)
        if entry == JOB_AWAY:
            return False
        if entry == JOB_OPENER:
            work_open(w, jobs, work, n_workers, slot, w.ahead_slot, node_of(w, slot, w.ahead_index), w.ahead_job)
        number = jobs.take_segment(w.ahead_job)
        if number >= 0:
            segment_prepare(w, work, number, n_workers)
            jobs.segment_done(w.ahead_job)
            return True
        w.ahead_job += 1
        w.ahead_index += 1
    return False


# ---------------------------------------------------------------- one worker's part

cdef void answer_note(Answer *answer, const Fault *fault) noexcept nogil:
    """Keeps the fault of a match without a value."""
    cdef void *p
    cdef int32_t room
    if answer.n_faults == answer.faults_room:
        room = 2 * answer.faults_room + 8
        p = realloc(answer.faults, room * sizeof(Fault))
        if p == NULL:                   # one more that the last one stands for
            if answer.n_faults:
                answer.faults[answer.n_faults - 1].more += 1
            return
        answer.faults = <Fault *>p
        answer.faults_room = room
    answer.faults[answer.n_faults] = fault[0]
    answer.n_faults += 1


cdef void answer_end(Answer *answer, Operator operator, int status, BatchC *out, Fault *fault, bint ended) noexcept nogil:
    """What a call gave, and what waits behind matches without a value."""
    while status != STATUS_OK and fault.stage >= STAGE_RESULT:
        fault.code = status
        answer_note(answer, fault)
        clear(fault)
        out = NULL
        if ended:
            status = operator.finish(&out, fault)
        else:
            status = operator.advance(INT64_MIN, &out, fault)
    if status != STATUS_OK:
        answer.refused = True
        answer.refusal = fault[0]
        answer.refusal.code = status
        return
    if out != NULL and out.n_rows == 0:
        batch_release(out)
        out = NULL
    answer.matches = out


cdef int64_t pieces_find(WorkerC *w, const Work *work) noexcept nogil:
    """The worker's rows of every segment; -1: no memory."""
    cdef const Segment *s
    cdef Piece *piece
    cdef void *p
    cdef int32_t i, begin
    if work.n_segments > w.pieces_room:
        p = realloc(w.pieces, work.n_segments * sizeof(Piece))
        if p == NULL:
            return -1
        w.pieces = <Piece *>p
        w.pieces_room = work.n_segments
    for i in range(work.n_segments):
        s = &work.segments[i]
        piece = &w.pieces[i]
        begin = s.ends[w.number - 1] if w.number else 0
        piece.rows = work.rows + s.start + begin
        piece.letters = NULL
        if s.lettered:
            piece.letters = work.letters + s.start + begin
        piece.start = 0
        piece.n = s.ends[w.number] - begin
    return work.n_segments


cdef bint unprepared(const Work *work) noexcept nogil:
    """Some segment was refused: then nobody takes anything."""
    cdef int32_t i
    for i in range(work.n_segments):
        if work.segments[i].status != STATUS_OK:
            return True
    return work.refusal.code != STATUS_OK


cdef void take_rows(WorkerC *w, Jobs *jobs, Work *work, Operator operator, Part *part) noexcept nogil:
    """A batch by partition: the worker's own rows."""
    cdef Fault fault
    cdef BatchC *out = NULL
    cdef int64_t n
    cdef int status = STATUS_OK
    if unprepared(work):
        return
    clear(&fault)
    n = pieces_find(w, work)
    if n < 0:
        status = fault_set(&fault, STATUS_NO_MEMORY, -1, -1, 0, 0, "a worker's rows")
    if operator.votes:
        if status == STATUS_OK:
            status = operator.judge(work.batch, w.pieces, n, &fault)
        if not jobs.vote(w.job, status == STATUS_OK):
            operator.retract()
            if status != STATUS_OK:
                answer_end(&part.taken, operator, status, NULL, &fault, False)
            return
    if status == STATUS_OK:
        status = operator.take(work.batch, work.base, w.pieces, n, &out, &fault)
    answer_end(&part.taken, operator, status, out, &fault, False)


cdef void own_part(WorkerC *w, Jobs *jobs, Work *work, Operator operator) noexcept nogil:
    cdef Part *part = &work.parts[w.number]
    cdef Fault fault
    cdef BatchC *out = NULL
    cdef int status
    clear(&fault)
    if work.kind == SLOT_FINISH:
        status = operator.finish(&out, &fault)
        answer_end(&part.taken, operator, status, out, &fault, True)
        return
    if work.batch != NULL:
        if work.owner < 0:
            take_rows(w, jobs, work, operator, part)
        else:
            status = operator.process(work.batch, work.base, &out, &fault)
            answer_end(&part.taken, operator, status, out, &fault, False)
    if work.time != INT64_MIN and work.node.timed:
        clear(&fault)
        out = NULL
        status = operator.advance(work.time, &out, &fault)
        answer_end(&part.advanced, operator, status, out, &fault, False)


# ---------------------------------------------------------------- putting the parts together

cdef inline Answer *answer_of(Work *work, int worker, bint advanced) noexcept nogil:
    return &work.parts[worker].advanced if advanced else &work.parts[worker].taken


cdef void refusal_find(const Work *work, bint advanced, int n_workers, Fault *fault) noexcept nogil:
    """Of all that was refused, what one worker would have come upon first; else fault.code is STATUS_OK."""
    cdef int32_t i
    cdef const Answer *answer
    clear(fault)
    if not advanced:
        if work.refusal.code != STATUS_OK:
            fault[0] = work.refusal
            return
        for i in range(work.n_segments):
            if work.segments[i].status != STATUS_OK:
                fault[0] = work.segments[i].fault
                fault.code = work.segments[i].status
                return
    for i in range(n_workers):
        answer = &work.parts[i].advanced if advanced else &work.parts[i].taken
        if answer.refused and (fault.code == STATUS_OK or answer.refusal.row < fault.row):
            fault[0] = answer.refusal


cdef void put_together(WorkerC *w, Work *work, bint advanced, int n_workers, BatchC **found) noexcept nogil:
    """Faults, then matches, as one worker would have sent them."""
    cdef NodeC *node = work.node
    cdef Answer *answer
    cdef Fault fault
    cdef BatchC *out = NULL
    cdef BatchC *batch = NULL
    cdef int64_t base = work.last if advanced else work.base
    cdef int64_t last = work.last
    cdef int32_t i, k
    cdef int n = 0
    if work.kind == SLOT_FINISH:
        base = last = -1
    for i in range(n_workers):
        answer = answer_of(work, i, advanced)
        for k in range(answer.n_faults):
            report(&w.shard, node, &answer.faults[k], NULL, base, last)
        if answer.matches != NULL:
            found[n] = answer.matches
            n += 1
    refusal_find(work, advanced, n_workers, &fault)
    if fault.code != STATUS_OK:
        if not advanced:
            batch = work.batch
        report(&w.shard, node, &fault, batch, base, last)
    if n and node.unordered and work.owner < 0:
        for i in range(n):
            clear(&fault)
            out = merge_matches(<Operator>instance(node, 0), &found[i], 1, &fault)
            settle(&w.shard, node, STATUS_OK, out, &fault, NULL, base, last)
    elif n:
        clear(&fault)
        out = found[0]
        if work.owner < 0 and (<Operator>instance(node, 0)).ranked:
            out = merge_matches(<Operator>instance(node, 0), found, n, &fault)
            if out == NULL:
                report(&w.shard, node, &fault, NULL, base, last)
        if out != NULL:
            settle(&w.shard, node, STATUS_OK, out, &fault, NULL, base, last)
    for i in range(n_workers):
        answer = answer_of(work, i, advanced)
        free(answer.faults)
        memset(answer, 0, sizeof(Answer))


cdef void complete(WorkerC *w, Work *work, int n_workers, BatchC **found) noexcept nogil:
    cdef Outgoing item
    w.shard.stamp = work.stamp
    if work.node == NULL:
        if work.kind == SLOT_CUT:
            cut_upon(&w.shard, work.note)
        fill(&item, work.kind, 0, NULL, 0, 0)
        item.ticket = work.ticket
        emit(&w.shard, &item)
        return
    put_together(w, work, False, n_workers, found)
    if work.kind == SLOT_FINISH:
        finish(&w.shard, work.node.id)
    else:
        put_together(w, work, True, n_workers, found)
    if work.rows != NULL:
        w.spares.give(work.rows, work.rows_bytes)
        work.rows = NULL


# ---------------------------------------------------------------- the life of a worker

cdef void run_job(WorkerC *w, Jobs *jobs, Work *works, int n_workers, Message *slot, int64_t slot_sequence,
                  int64_t index, BatchC **found) noexcept nogil:
    cdef Work *work = &works[jobs.place(w.job)]
    cdef NodeC *node = node_of(w, slot, index)
    cdef int number
    cdef Patience patience
    if jobs.enter(w.job) == JOB_OPENER:
        work_open(w, jobs, work, n_workers, slot, slot_sequence, node, w.job)
    if w.ahead_job <= w.job:
        w.ahead_job = w.job + 1
        w.ahead_slot = slot_sequence
        w.ahead_index = index + 1
    while not jobs.segments_ready(w.job):
        number = jobs.take_segment(w.job)
        if number >= 0:
            segment_prepare(w, work, number, n_workers)
            jobs.segment_done(w.job)
        elif not help_ahead(w, jobs, works, n_workers):
            patience.wait()
    if node != NULL and (work.owner < 0 or work.owner == w.number):
        own_part(w, jobs, work, <Operator>instance(node, w.number))
    if slot.kind == SLOT_CUT:
        cut_operators(&w.shard, slot.note, w.number)
    if slot.kind == SLOT_CONTROL:
        w.shard.routes = <const RoutesC *>slot.note
    if jobs.leave(w.job):
        complete(w, work, n_workers, found)
        jobs.completed(w.job)
    w.job += 1


cdef PoolC *pool_of(WorkerC *w, const Message *slot, int64_t slot_sequence, int n_workers) noexcept nogil:
    """What the conditions on a batch share, if it is this worker that evaluates them."""
    cdef const RoutesC *routes = w.shard.routes
    if slot.kind != SLOT_DATA or slot_sequence % n_workers != w.number or w.number >= routes.n_workers:
        return NULL
    return routes.pools[w.number * routes.n_sources + slot.id]


cdef void work_crew(WorkerC *w, Jobs *jobs, Work *works, int n_workers, BatchC **found) noexcept nogil:
    """Until the inbox is closed and read to its end."""
    cdef int64_t n, i, k, place, count
    cdef Message message
    cdef Message *slot = &message
    cdef PoolC *pool
    while True:
        n = w.shard.inbox.wait(w.shard.reader, -1)
        if n == RING_CLOSED:
            break
        place = w.shard.inbox.position(w.shard.reader)
        w.known = place + n
        for i in range(n):
            w.shard.inbox.enter(w.shard.reader, slot)
            count = jobs_of(w, slot)
            pool = pool_of(w, slot, place + i, n_workers) if count > 1 else NULL
            if pool != NULL:
                pool_open(pool, <BatchC *>slot.batch)
            if slot.kind == SLOT_BARRIER:
                w.shard.inbox.advance(w.shard.reader, 1)    # who waits for it finds the ring as empty as it is
            for k in range(count):
                run_job(w, jobs, works, n_workers, slot, place + i, k, found)
            if pool != NULL:
                pool_close(pool)
            if slot.kind == SLOT_FINISH:
                w.shard.finished = True
            if slot.kind != SLOT_BARRIER:
                w.shard.inbox.advance(w.shard.reader, 1)


cdef class Crew(Shard):
    """A shard that `workers` threads run together: each calls run(worker) once, another thread take().

    Nodes that are to be run by partition have one operator a worker, compiled to be `ranked`.

    >>> from tocsin_core.ring import Ring
    >>> Crew(Ring(8, recycles=True), Ring(8, many_producers=False), 2).workers
    2
    """
    def __cinit__(self, inbox, outbox=None, int workers=2):
        if not 2 <= workers <= WORKERS_MAX:
            raise ValueError(f"workers={workers}: a crew has between 2 and {WORKERS_MAX}")
        if outbox is None:
            raise ValueError("a crew needs an outbox")
        self.n_workers = workers
        self.running = workers
        self.leaving = threading.Lock()
        self.workers = <WorkerC *>calloc(workers, sizeof(WorkerC))
        self.works = <Work *>calloc(JOBS_UNDER_WAY, sizeof(Work))
        self.jobs = Jobs.make(workers, JOBS_UNDER_WAY)
        self.spares = Spares.make(ROWS_KEPT * ROW_BYTES)
        if self.workers == NULL or self.works == NULL or self.jobs == NULL or self.spares == NULL:
            raise MemoryError("no memory for the workers")
        self._prepare()

    cdef int _prepare(self) except -1:
        cdef int i
        for i in range(JOBS_UNDER_WAY):
            self.works[i].parts = <Part *>calloc(self.n_workers, sizeof(Part))
            if self.works[i].parts == NULL:
                raise MemoryError("no memory for the workers")
        for i in range(self.n_workers):
            self.workers[i].shard = self.c
            self.workers[i].number = i
            self.workers[i].spares = self.spares
            self.workers[i].ahead_entered = -1
            if i:
                self.workers[i].shard.reader = self.inbox.join()
        return 0

    def __dealloc__(self):
        cdef int i
        if self.works != NULL:
            for i in range(JOBS_UNDER_WAY):
                free(self.works[i].rows)
                free(self.works[i].segments)
                free(self.works[i].ends)
                free(self.works[i].parts)
        if self.workers != NULL:
            for i in range(self.n_workers):
                free(self.workers[i].pieces)
        free(self.works)
        free(self.workers)
        Jobs.destroy(self.jobs)
        Spares.destroy(self.spares)

    @property
    def workers(self):
        """How many threads run it."""
        return self.n_workers

    @property
    def lost(self):
        """How many outgoing things were let go because the outbox was closed by force."""
        cdef int i
        cdef int64_t lost = 0
        for i in range(self.n_workers):
            lost += self.workers[i].shard.lost
        return lost

    def run(self, int worker=0):
        """The body of worker `worker`'s thread: returns when the inbox is closed and empty; the last closes the outbox."""
        cdef BatchC **found
        if not 0 <= worker < self.n_workers:
            raise ValueError(f"there is no worker {worker}")
        found = <BatchC **>malloc(self.n_workers * sizeof(void *))
        if found == NULL:
            raise MemoryError("no memory for a worker")
        with nogil:
            work_crew(&self.workers[worker], self.jobs, self.works, self.n_workers, found)
        free(found)
        self.leave()

    def leave(self):
        """A worker's thread ends, or could not be started."""
        with self.leaving:
            self.running -= 1
            if self.running == 0:
                self.c.outbox.close()


def measure_shares(list operators not None, list batches not None):
    """Runs the operators of a trigger over batches as a crew would, one after the other on this thread, and times them.

    For figures about more workers than there are processors: what each would do at the same time, it does here in turn.

    Args:
        operators: one a worker, ranked.
        batches: Batch, all of the operators' input.

    Returns:
        (nanoseconds of preparing all rows once, nanoseconds of taking its own rows for each worker, matches).

    Raises:
        What the operators refuse.
    """
    cdef int k
    cdef int n_workers = len(operators)
    cdef Batch one
    cdef Operator one_of = operators[0]
    cdef Work work
    cdef WorkerC w
    cdef Segment *s
    cdef Fault fault
    cdef BatchC *out
    cdef int64_t i, n, begun, sequence = 0, prepared = 0, matches = 0
    cdef list taken = [0] * n_workers
    cdef int status
    if not one_of.ranked or n_workers > WORKERS_MAX:
        raise ValueError("these operators are not made to share batches")
    memset(&work, 0, sizeof(Work))
    memset(&w, 0, sizeof(WorkerC))
    spares = Spares.make(ROWS_KEPT * ROW_BYTES)
    if spares == NULL:
        raise MemoryError("no memory for the rows of a batch")
    try:
        for one in batches:
            n = (one.c.n_rows + SEGMENT_ROWS - 1) // SEGMENT_ROWS
            if work.rows != NULL:
                spares.give(work.rows, work.rows_bytes)
                work.rows = NULL
            if not work_reserve(&work, spares, one.c.n_rows, n, n_workers):
                raise MemoryError("no memory for the rows of a batch")
            work_cut(&work, one.c.n_rows, n, n_workers)
            clear(&work.refusal)
            begun = stamp()
            for i in range(n):
                s = &work.segments[i]
                clear(&s.fault)
                one_of = operators[i % n_workers]
                s.status = one_of.prepare(one.c, s.start, s.n, n_workers, work.rows + s.start,
                                          work.letters + s.start, s.ends, &s.lettered, &s.fault)
                if s.status != STATUS_OK:
                    raise fault_exception(&s.fault, one_of.context(&s.fault))
            prepared += stamp() - begun
            for k in range(n_workers):
                w.number = k
                one_of = operators[k]
                clear(&fault)
                out = NULL
                begun = stamp()
                pieces_find(&w, &work)
                status = one_of.take(one.c, sequence, w.pieces, n, &out, &fault)
                taken[k] += stamp() - begun
                if status != STATUS_OK:
                    raise fault_exception(&fault, one_of.context(&fault))
                if out != NULL:
                    matches += out.n_rows
                    batch_release(out)
            sequence += one.c.n_rows
    finally:
        free(work.rows)
        free(work.segments)
        free(work.ends)
        free(w.pieces)
        Spares.destroy(spares)
    return prepared, taken, matches
