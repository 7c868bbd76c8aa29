"""Tracks: one per partition: its attempts, where the next one begins, and the settling of those that are decided.

Two ways    in turn    an attempt begins when all earlier ones of its partition are decided, at the row where AFTER MATCH
                       SKIP says, and catches up on the rows that have come since. No work is done that a match could
                       make void.
            eager      (SKIP TO NEXT ROW) every row begins its attempt at once: matches do not wait for earlier starts.
                       MATCH_NUMBER then waits until each earlier start is known to match or not.
Time        an open attempt has a timer at its start's time plus WITHIN's interval; timers go off in the order of the start
            rows, and at the end of input attempts end in that order.
Faults      SKIP TO a variable that the match has not, or to the match's own first row, has no meaning: the match is left
            out, the fault is kept to be told, and matching goes on behind it.
Cost        what stepping costs (threads); besides a few ns a row.
"""
from libc.stdint cimport INT64_MIN, int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport qsort, realloc
from libc.string cimport memset

from .captures cimport Definitions
from .column cimport column_time
from .history cimport NO_ROW, ROW_UNKNOWN
from .results cimport EMPTY, FOUND, UNMATCHED, Labelled, Results
from .parking cimport parking_take, parking_tidy, parking_wake
from .seek cimport seeks_add
from .status cimport STATUS_NO_MEMORY, STATUS_OK, STATUS_SKIP, Fault, fault_set
from .threads cimport (STAGE_SKIP, DECIDED, EXHAUSTED, NONE, OPEN, SKIP_NEXT, SKIP_PAST_LAST, SKIP_TO_FIRST, Attempt, Due,
                       Outcome, Threads, Track, attempt_activate, attempt_drop, attempt_new, attempt_rest, attempt_run,
                       threads_fault)
from .trace cimport NO_NODE, trace_drop


cdef int tracks_reserve(Threads *t, int64_t n) noexcept nogil:
    cdef int64_t room, i
    cdef void *p
    if n > t.tracks_room:
        room = 2 * n + 64
        p = realloc(t.tracks, room * sizeof(Track))
        if p == NULL:
            return STATUS_NO_MEMORY
        t.tracks = <Track *>p
        t.tracks_room = room
    for i in range(t.n_tracks, n):
        t.tracks[i].first = NO_ROW
        t.tracks[i].active = NONE
        t.tracks[i].head = t.tracks[i].tail = NONE
        t.tracks[i].newest = t.tracks[i].covered = NO_ROW
        t.tracks[i].waiting = ROW_UNKNOWN
        t.tracks[i].begun = 0
        t.tracks[i].kept = 0
        t.tracks[i].matches = 0
        t.tracks[i].rows = 0
    if n > t.n_tracks:
        t.n_tracks = n
    return STATUS_OK


# ---------------------------------------------------------------- timers

cdef inline bint sooner(const Due *a, const Due *b) noexcept nogil:
    return a.time < b.time or (a.time == b.time and a.sequence < b.sequence)


cdef int due_push(Threads *t, const Due *due) noexcept nogil:
    cdef int64_t i = t.n_dues, up, room
    cdef void *p
    if i == t.dues_room:
        room = 2 * i + 64
        p = realloc(t.dues, room * sizeof(Due))
        if p == NULL:
            return STATUS_NO_MEMORY
        t.dues = <Due *>p
        t.dues_room = room
    t.n_dues += 1
    while i:
        up = (i - 1) >> 1
        if not sooner(due, &t.dues[up]):
            break
        t.dues[i] = t.dues[up]
        i = up
    t.dues[i] = due[0]
    return STATUS_OK


cdef void due_pop(Threads *t) noexcept nogil:
    cdef int64_t i = 0, child
    cdef Due last
    t.n_dues -= 1
    last = t.dues[t.n_dues]
    while True:
        child = 2 * i + 1
        if child >= t.n_dues:
            break
        if child + 1 < t.n_dues and sooner(&t.dues[child + 1], &t.dues[child]):
            child += 1
        if not sooner(&t.dues[child], &last):
            break
        t.dues[i] = t.dues[child]
        i = child
    t.dues[i] = last


cdef int track_arm(Threads *t, int32_t attempt) noexcept nogil:
    """Gives an open attempt its timer, once."""
    cdef Attempt *a = &t.attempts[attempt]
    cdef Due due
    if not t.within or a.armed:
        return STATUS_OK
    a.armed = 1
    due.time = t.history.time[a.start]
    due.sequence = t.history.sequence[a.start]
    due.attempt = attempt
    due.generation = a.generation
    return due_push(t, &due)


# ---------------------------------------------------------------- settling

cdef int64_t settled_now(const Threads *t) noexcept nogil:
    """Which event makes a match certain now: the row under way, or the first whose time closes its window."""
    cdef int64_t low = 0, high = t.n_batch, middle
    if not t.closing:
        return 2 * t.stepped + 1
    while low < high:
        middle = (low + high) >> 1
        if column_time(t.times, middle) < t.due:
            low = middle + 1
        else:
            high = middle
    return 2 * (t.base_sequence + low)


cdef int label(Threads *t, int32_t partition, int kind, const Attempt *a, int32_t row, int64_t number,
               Labelled *m) noexcept nogil:
    """A match (or the row of none) as Results takes it; its rows are in the scratch until the next call. Status."""
    cdef int32_t node
    cdef int64_t n = 0, room
    cdef void *p
    memset(m, 0, sizeof(Labelled))
    m.kind = kind
    m.partition = <uint32_t>partition
    m.number = number
    m.first = m.last = row
    if kind != FOUND:
        return STATUS_OK
    m.last = a.last
    m.length = a.length
    node = a.node
    while node >= 0:
        n += 1
        node = t.trace.nodes[node].parent
    if n > t.match_room:
        room = 2 * n + 64
        p = realloc(t.match_rows, room * sizeof(int32_t))
        if p == NULL:
            return STATUS_NO_MEMORY
        t.match_rows = <int32_t *>p
        p = realloc(t.match_positions, room * sizeof(int32_t))
        if p == NULL:
            return STATUS_NO_MEMORY
        t.match_positions = <int32_t *>p
        t.match_room = room
    m.n = n
    node = a.node
    while node >= 0:
        n -= 1
        t.match_rows[n] = t.trace.nodes[node].row
        t.match_positions[n] = t.trace.nodes[node].position
        node = t.trace.nodes[node].parent
    m.rows = t.match_rows
    m.positions = t.match_positions
    return STATUS_OK


cdef int give(Threads *t, int32_t partition, int kind, const Attempt *a, int32_t row, int64_t number,
              Results results) noexcept nogil:
    """Hands a match (or the row of none) over. A fault of its values is kept, and is no reason to stop."""
    cdef Labelled m
    cdef Fault fault
    cdef int status = label(t, partition, kind, a, row, number, &m)
    if status != STATUS_OK:
        return status
    if t.ranked:
        m.settled = settled_now(t)
        m.turn = t.whose_turn if t.closing else 0
    memset(&fault, 0, sizeof(Fault))
    status = results.add(&t.history, &t.keys, &m, &fault)
    if status == STATUS_NO_MEMORY:
        return status
    if status != STATUS_OK:
        threads_fault(t, &fault)
    return STATUS_OK


cdef bint readable(Threads *t, const Attempt *a, Results results) noexcept nogil:
    """Whether the rows behind a decided attempt's match that its measures read (NEXT) have come."""
    cdef Labelled m
    if results.ahead == 0 or a.length <= 0 or t.ended:
        return True
    if label(t, a.track, FOUND, a, a.start, 0, &m) != STATUS_OK:
        return True             # without memory `give` will tell
    return results.ready(&t.history, &m)


cdef bint skip_target(Threads *t, const Attempt *a, int32_t *target) noexcept nogil:
    """The row at which matching goes on behind a match of one row or more; False, and a fault kept, if there is none."""
    cdef int32_t node = a.node, found = NO_ROW
    cdef Fault fault
    target[0] = t.history.behind[a.start if t.skip == SKIP_NEXT else a.last]
    if t.skip == SKIP_PAST_LAST or t.skip == SKIP_NEXT:
        return True
    while node >= 0:
        if (t.skip_variables >> t.variable[t.trace.nodes[node].position]) & 1:
            found = t.trace.nodes[node].row
            if t.skip != SKIP_TO_FIRST:
                break
        node = t.trace.nodes[node].parent
    if found == NO_ROW or found == a.start:
        memset(&fault, 0, sizeof(Fault))
        fault_set(&fault, STATUS_SKIP, -1, -1, t.history.sequence[a.start], found != NO_ROW, NULL)
        fault.stage = STAGE_SKIP
        threads_fault(t, &fault)
        return False
    target[0] = found
    return True


# ---------------------------------------------------------------- in turn

cdef int settle(Threads *t, int32_t attempt, Results results) noexcept nogil:
    """The first attempt of its track is decided, and its match can be read."""
    cdef Attempt *a = &t.attempts[attempt]
    cdef Track *p = &t.tracks[a.track]
    cdef int32_t goes_on = t.history.behind[a.start]
    cdef int status = STATUS_OK
    if a.length == 0:
        p.matches += 1
        status = give(t, a.track, EMPTY, a, a.start, p.matches, results)
    elif a.length > 0:
        if skip_target(t, a, &goes_on):
            p.matches += 1
            status = give(t, a.track, FOUND, a, a.start, p.matches, results)
        if a.last > p.covered:
            p.covered = a.last
    elif t.unmatched and a.start > p.covered:
        status = give(t, a.track, UNMATCHED, a, a.start, 0, results)
    p.waiting = goes_on
    attempt_drop(t, attempt)
    return status


cdef int begin(Threads *t, int32_t partition, Definitions d, Results results) noexcept nogil:
    """The track has no attempt: the next row that can begin one does. Without such a row the track has none still."""
    cdef Track *p = &t.tracks[partition]
    cdef int32_t row
    cdef bint first
    cdef int status
    while p.waiting >= 0:
        row = p.waiting
        first = row == p.first
        p.waiting = t.history.behind[row]
        if t.start_always[first] or (t.history.mask[row] & t.start_mask[first]) != 0:
            p.waiting = ROW_UNKNOWN     # where the next one begins, this one will say
            return STATUS_OK if attempt_new(t, partition, row, first, d) != NONE else STATUS_NO_MEMORY
        if t.unmatched and row > p.covered:
            status = give(t, partition, UNMATCHED, NULL, row, 0, results)
            if status != STATUS_OK:
                return status
    return STATUS_OK


cdef int track_turn(Threads *t, int32_t partition, Definitions d, Results results) noexcept nogil:
    """Runs the attempt that is open, and those behind it, until one has to wait."""
    cdef Track *p = &t.tracks[partition]
    cdef Outcome outcome
    cdef int status
    while True:
        if p.head == NONE:
            status = begin(t, partition, d, results)
            if status != STATUS_OK or p.head == NONE:
                return status
        outcome = attempt_run(t, p.head, d)
        if outcome == EXHAUSTED:
            return STATUS_NO_MEMORY
        if outcome == OPEN:
            return track_arm(t, p.head)
        if not readable(t, &t.attempts[p.head], results):
            return STATUS_OK
        status = settle(t, p.head, results)
        if status != STATUS_OK:
            return status


# ---------------------------------------------------------------- eager

cdef int count_off(Threads *t, Track *p, Results results) noexcept nogil:
    """Numbered: gives the matches whose number is known, and lets go of the attempts that no count needs any more."""
    cdef int64_t number = p.matches
    cdef int32_t at = p.head, following
    cdef Attempt *a
    cdef int status
    while at != NONE:
        a = &t.attempts[at]
        if a.length >= 0:
            number += 1
        elif a.state != DECIDED:
            break
        if a.state == DECIDED and not a.given and readable(t, a, results):
            a.given = 1
            if a.length >= 0:
                status = give(t, a.track, FOUND if a.length else EMPTY, a, a.start, number, results)
                if status != STATUS_OK:
                    return status
                trace_drop(&t.trace, a.node)    # of its rows nobody asks any more
                a.node = NO_NODE
        at = a.after
    at = p.head
    while at != NONE and t.attempts[at].given:
        following = t.attempts[at].after
        p.matches += t.attempts[at].length >= 0
        attempt_drop(t, at)
        at = following
    return STATUS_OK


cdef int settle_eager(Threads *t, int32_t attempt, Results results) noexcept nogil:
    cdef Attempt *a = &t.attempts[attempt]
    cdef int status = STATUS_OK
    if t.numbered:
        return count_off(t, &t.tracks[a.track], results)
    if not readable(t, a, results):
        return STATUS_OK
    if a.length >= 0:
        status = give(t, a.track, FOUND if a.length else EMPTY, a, a.start, 0, results)
    attempt_drop(t, attempt)
    return status


cdef int by_start_first(const void *a, const void *b) noexcept nogil:
    # Pairs of (start, attempt).
    return ((<const int32_t *>a)[0] > (<const int32_t *>b)[0]) - ((<const int32_t *>a)[0] < (<const int32_t *>b)[0])


cdef int track_called(Threads *t, uint32_t partition, int32_t row, Definitions d, Results results) noexcept nogil:
    """As track_eager, where attempts are parked: the row is shown to the active attempts and to those that it calls."""
    cdef Track *p = &t.tracks[partition]
    cdef bint first = row == p.first
    cdef int32_t at
    cdef int64_t n = 0, i, room
    cdef void *memory
    cdef Outcome outcome
    cdef int status = parking_wake(t, row, <int32_t>partition)
    if status != STATUS_OK:
        return status
    for i in range(t.parking.n_woken):
        attempt_activate(t, t.parking.woken[i])
    if t.start_always[first] or (t.history.mask[row] & t.start_mask[first]) != 0:
        at = attempt_new(t, partition, row, first, d)
        if at == NONE:
            return STATUS_NO_MEMORY
        attempt_activate(t, at)
        status = track_arm(t, at)
    at = p.active
    while at != NONE:
        if 2 * n + 2 > t.turn_room:
            room = 4 * n + 64
            memory = realloc(t.turn, room * sizeof(int32_t))
            if memory == NULL:
                return STATUS_NO_MEMORY
            t.turn = <int32_t *>memory
            t.turn_room = room
        t.turn[2 * n] = t.attempts[at].start
        t.turn[2 * n + 1] = at
        n += 1
        at = t.attempts[at].active_after
    if n > 1:
        qsort(t.turn, n, 2 * sizeof(int32_t), by_start_first)
    for i in range(n):
        if status != STATUS_OK:
            return status
        at = t.turn[2 * i + 1]
        if t.attempts[at].given:
            continue
        outcome = attempt_run(t, at, d)
        if outcome == EXHAUSTED:
            return STATUS_NO_MEMORY
        if outcome == DECIDED:
            if t.numbered:
                attempt_rest(t, at)     # no row changes it any more; count_off finds it in the track's list
            else:
                status = settle_eager(t, at, results)
        elif t.attempts[at].waits and t.attempts[at].cursor == row and parking_take(t, at, d):
            t.attempts[at].parked = 1
            attempt_rest(t, at)
    if status == STATUS_OK and t.numbered:
        status = count_off(t, p, results)
    return status if status != STATUS_OK else parking_tidy(t, d)


cdef int track_eager(Threads *t, int32_t partition, int32_t row, Definitions d, Results results) noexcept nogil:
    """Every open attempt takes the newest row, which then begins its own."""
    cdef Track *p = &t.tracks[partition]
    cdef int32_t at = p.head, following
    cdef bint first = row == p.first
    cdef Outcome outcome
    cdef int status
    if t.start_always[first] or (t.history.mask[row] & t.start_mask[first]) != 0:
        following = attempt_new(t, partition, row, first, d)
        if following == NONE:
            return STATUS_NO_MEMORY
        if at == NONE:
            at = following
        status = track_arm(t, following)
        if status != STATUS_OK:
            return status
    while at != NONE:
        following = t.attempts[at].after
        if not t.attempts[at].given:
            outcome = attempt_run(t, at, d)
            if outcome == EXHAUSTED:
                return STATUS_NO_MEMORY
            if outcome == DECIDED and not t.numbered:
                status = settle_eager(t, at, results)
                if status != STATUS_OK:
                    return status
        at = following
    return count_off(t, p, results) if t.numbered else STATUS_OK


# ---------------------------------------------------------------- rows and time

cdef bint track_ignores(Threads *t, uint32_t partition, uint64_t mask) noexcept nogil:
    cdef Track *p = &t.tracks[partition]
    cdef bint first = not p.begun
    p.begun = 1
    if p.kept or p.head != NONE or t.back or t.unmatched or t.start_always[first] or (mask & t.start_mask[first]) != 0:
        p.kept = 1
        if first:
            p.first = ROW_UNKNOWN       # it is the next row that comes to the history
        return False
    return True


cdef int track_row(Threads *t, uint32_t partition, int32_t row, Definitions d, Results results) noexcept nogil:
    cdef Track *p = &t.tracks[partition]
    p.kept = 0
    t.stepped = t.history.sequence[row]
    if p.first == ROW_UNKNOWN:
        p.first = row
    t.history.before[row] = p.newest
    if p.newest >= 0:
        t.history.behind[p.newest] = row
    p.newest = row
    t.history.track[row] = <int32_t>partition
    t.history.ordinal[row] = p.rows
    p.rows += 1
    if t.seeks.n_chains or t.seeks.n_trees:
        if seeks_add(&t.seeks, &t.history, row, <int32_t>partition) != STATUS_OK:
            return STATUS_NO_MEMORY
    if t.indexed:
        return track_called(t, partition, row, d, results)
    if t.eager:
        return track_eager(t, partition, row, d, results)
    if p.head == NONE:
        p.waiting = row
    return track_turn(t, partition, d, results)


cdef int tracks_advance(Threads *t, int64_t time, Definitions d, Results results) noexcept nogil:
    cdef Due due
    cdef Attempt *a
    cdef Outcome outcome
    cdef int status = STATUS_OK
    while t.n_dues and time >= INT64_MIN + t.interval and t.dues[0].time <= time - t.interval:
        due = t.dues[0]
        due_pop(t)
        a = &t.attempts[due.attempt]
        if not a.used or a.generation != due.generation or a.state != OPEN:
            continue
        # Step by step, so that windows close in one order however far the time has moved at once.
        t.now = due.time + t.interval
        t.has_now = True
        t.closing = True
        t.due = t.now
        t.whose_turn = due.sequence
        if not t.eager:
            status = track_turn(t, a.track, d, results)
        else:
            outcome = attempt_run(t, due.attempt, d)
            if outcome == EXHAUSTED:
                return STATUS_NO_MEMORY
            if outcome == DECIDED:
                status = settle_eager(t, due.attempt, results)
        t.closing = False
        if status != STATUS_OK:
            return status
    if not t.has_now or time > t.now:
        t.now = time
        t.has_now = True
    return STATUS_OK


cdef int by_start(Threads *t, int32_t attempt) noexcept nogil:
    cdef Due due
    due.time = due.sequence = t.history.sequence[t.attempts[attempt].start]
    due.attempt = attempt
    due.generation = t.attempts[attempt].generation
    return due_push(t, &due)


cdef int tracks_finish(Threads *t, Definitions d, Results results) noexcept nogil:
    """End of input: every attempt ends, in the order of the start rows."""
    cdef int64_t i
    cdef int32_t at, partition
    cdef int status = STATUS_OK
    t.ended = True
    t.closing = True
    t.n_dues = 0
    for i in range(t.n_tracks):
        if t.tracks[i].newest >= 0:
            t.history.behind[t.tracks[i].newest] = NO_ROW
        at = t.tracks[i].head
        while at != NONE and status == STATUS_OK:
            status = by_start(t, at)
            at = t.attempts[at].after
    while t.n_dues and status == STATUS_OK:
        at = t.dues[0].attempt
        t.whose_turn = t.dues[0].sequence
        due_pop(t)
        if not t.attempts[at].used or t.attempts[at].given:
            continue
        partition = t.attempts[at].track
        if attempt_run(t, at, d) == EXHAUSTED:
            return STATUS_NO_MEMORY
        if t.eager:
            status = settle_eager(t, at, results)
            continue
        status = settle(t, at, results)
        if status == STATUS_OK:
            status = begin(t, partition, d, results)
        if status == STATUS_OK and t.tracks[partition].head != NONE:
            status = by_start(t, t.tracks[partition].head)
    return status
