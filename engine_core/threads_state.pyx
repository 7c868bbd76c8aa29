"""The state of all attempts: which rows it needs, and as bytes.

Collection  needed are: the start of each attempt, its last row and, while it is open, those behind it that it has not
            consumed; in turn (tracks), where later attempts will begin at any row behind, all rows from the attempt's start
            on; the rows of traces, candidates and registers; a partition's newest row, if it has an attempt or PREV may walk
            to it; and what lies `back` rows before and `ahead` rows behind any of them. All else goes.
Saving      the history after a collection; tracks; attempts in the order of their partitions and starts, threads in order of
            preference, each with its registers; traces as nodes, parents first.
Restoring   every number is checked before it is used: an attempt's rows are of its partition, between its start and the last
            row that it has consumed; rows to come are all there; lists are in order. A parent's row is smaller than its
            child's, so a trace has an end; counts of references are made anew. Whatever passes can be run on: it may be
            another history than the one that was saved, but it is one.
"""
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from .blob cimport Blob, Reader, blob_i64, blob_put, reader_count, reader_i64, reader_take
from .captures cimport KEY_UNKNOWN, Definitions
from .history cimport (NO_ROW, ROW_UNKNOWN, History, history_collect, history_new_number, history_restore, history_save,
                       history_whole)
from .seek cimport EXITS_MAX, seeks_rebuild
from .status cimport STATUS_NO_MEMORY, STATUS_OK, STATUS_STATE
from .threads cimport (DECIDED, NONE, OPEN, Attempt, Threads, Track, attempt_activate, attempt_new, block_new, thread_new,
                       threads_list_drop)
from .trace cimport NO_NODE, Node, trace_add, trace_drop
from .tracks cimport track_arm, tracks_reserve

cdef enum:
    COLLECT_ROWS = 65536


cdef bint threads_wasteful(const Threads *t) noexcept nogil:
    return t.history.n_rows > 2 * <int64_t>t.history.live + max(<int64_t>COLLECT_ROWS, t.n_tracks)


cdef inline void mark(History *h, int32_t row) noexcept nogil:
    if row >= 0:
        h.marks[row] = 1


cdef int threads_collect(Threads *t, Definitions d) noexcept nogil:
    cdef History *h = &t.history
    cdef int64_t i
    cdef int32_t at, row, walked, k, _k, thread
    cdef Track *p
    cdef Attempt *a
    cdef Node *node
    cdef int status
    if h.n_rows:                        # else there are no marks yet
        memset(h.marks, 0, h.n_rows)
    for i in range(t.n_tracks):
        p = &t.tracks[i]
        if p.head == NONE and t.back == 0:
            p.newest = NO_ROW
        mark(h, p.newest)
        at = p.head
        while at != NONE:
            a = &t.attempts[at]
            if a.parked:
                a.cursor = p.newest     # none of the rows so far could move it
            mark(h, a.start)
            mark(h, a.cursor)
            mark(h, a.last)
            row = a.start if not t.eager or a.cursor == NO_ROW else a.cursor
            if t.eager and a.state == DECIDED:
                row = NO_ROW            # it waits for its number only, or for rows behind its match
            while row >= 0:
                h.marks[row] = 1
                row = h.behind[row]
            thread = a.threads
            while thread != NONE and t.n_words:
                d.mark(h, t.blocks + <int64_t>t.threads[thread].registers * t.n_words)
                thread = t.threads[thread].next
            at = a.after
    for i in range(t.trace.n):
        mark(h, t.trace.nodes[i].row)
    if t.back or t.ahead:
        for row in range(h.n_rows):
            if h.marks[row] != 1:
                continue
            walked = row
            for _k in range(t.back):
                walked = h.before[walked]
                if walked < 0:
                    break
                if h.marks[walked] == 0:
                    h.marks[walked] = 2
            walked = row
            for _k in range(t.ahead):
                walked = h.behind[walked]
                if walked < 0:
                    break
                if h.marks[walked] == 0:
                    h.marks[walked] = 2
    status = history_collect(h)
    if status == STATUS_OK and (t.seeks.n_chains or t.seeks.n_trees):
        status = seeks_rebuild(&t.seeks, h)
    if status != STATUS_OK:
        return status
    for i in range(t.n_tracks):
        p = &t.tracks[i]
        p.newest = history_new_number(h, p.newest)
        p.waiting = history_new_number(h, p.waiting)
        p.first = history_new_number(h, p.first)
        if p.covered >= 0:
            p.covered = h.renumbered[p.covered] + (h.marks[p.covered] != 0) - 1
        at = p.head
        while at != NONE:
            a = &t.attempts[at]
            a.start = history_new_number(h, a.start)
            a.cursor = history_new_number(h, a.cursor)
            a.last = history_new_number(h, a.last)
            thread = a.threads
            while thread != NONE:
                if t.n_words:
                    d.renumber(h, t.blocks + <int64_t>t.threads[thread].registers * t.n_words)
                for k in range(EXITS_MAX):
                    t.threads[thread].wake[k] = NO_ROW
                thread = t.threads[thread].next
            at = a.after
    for i in range(t.trace.n):
        node = &t.trace.nodes[i]
        node.row = history_new_number(h, node.row)
    return STATUS_OK


# ---------------------------------------------------------------- saving

cdef void save_nodes(const Threads *t, int32_t *number, Blob *b) noexcept nogil:
    """Nodes by row, so that parents come first. number[node]: its place in what is saved."""
    cdef int32_t *first = <int32_t *>malloc((t.history.n_rows + 1) * sizeof(int32_t))
    cdef int32_t *following = <int32_t *>malloc((t.trace.n + 1) * sizeof(int32_t))
    cdef int32_t i, row
    cdef int64_t n = 0
    cdef const Node *node
    if first == NULL or following == NULL:
        b.failed = True
        free(first)
        free(following)
        return
    for row in range(t.history.n_rows):
        first[row] = NO_NODE
    for i in range(t.trace.n):
        row = t.trace.nodes[i].row
        if row >= 0:
            following[i] = first[row]
            first[row] = i
            n += 1
    blob_i64(b, n)
    n = 0
    for row in range(t.history.n_rows):
        i = first[row]
        while i != NO_NODE:
            number[i] = <int32_t>n
            n += 1
            node = &t.trace.nodes[i]
            blob_i64(b, NO_NODE if node.parent == NO_NODE else number[node.parent])
            blob_i64(b, row)
            blob_i64(b, node.position)
            i = following[i]
    free(first)
    free(following)


cdef void threads_save(const Threads *t, Blob *b) noexcept nogil:
    cdef int32_t *number = <int32_t *>malloc((t.trace.n + 1) * sizeof(int32_t))
    cdef int64_t i, n = 0
    cdef int32_t at, thread
    cdef const Track *p
    cdef const Attempt *a
    if number == NULL:
        b.failed = True
        return
    history_save(&t.history, b)
    save_nodes(t, number, b)
    blob_i64(b, t.now)
    blob_i64(b, t.has_now)
    blob_i64(b, t.ended)
    blob_i64(b, t.n_tracks)
    for i in range(t.n_tracks):
        p = &t.tracks[i]
        blob_i64(b, p.newest)
        blob_i64(b, p.waiting)
        blob_i64(b, p.covered)
        blob_i64(b, p.first)
        blob_i64(b, p.begun)
        blob_i64(b, p.matches)
        blob_i64(b, p.rows)
        n = 0
        at = p.head
        while at != NONE:
            n += 1
            at = t.attempts[at].after
        blob_i64(b, n)
        at = p.head
        while at != NONE:
            a = &t.attempts[at]
            blob_i64(b, a.start)
            blob_i64(b, a.cursor)
            blob_i64(b, a.last)
            blob_i64(b, NO_NODE if a.node == NO_NODE else number[a.node])
            blob_i64(b, a.length)
            blob_i64(b, a.waits)
            blob_i64(b, a.number)
            blob_i64(b, a.steps)
            blob_i64(b, a.state)
            blob_i64(b, a.given)
            n = 0
            thread = a.threads
            while thread != NONE:
                n += 1
                thread = t.threads[thread].next
            blob_i64(b, n)
            thread = a.threads
            while thread != NONE:
                blob_i64(b, t.threads[thread].position)
                blob_i64(b, NO_NODE if t.threads[thread].node == NO_NODE else number[t.threads[thread].node])
                if t.n_words:
                    blob_put(b, t.blocks + <int64_t>t.threads[thread].registers * t.n_words, t.n_words * 8)
                thread = t.threads[thread].next
            at = a.after
    free(number)


# ---------------------------------------------------------------- restoring

# What the bytes are checked against: of the rows that were restored, and of the traces.
cdef struct Known:
    int32_t *newest             # by track: its newest row, or NO_ROW
    int32_t *unbroken           # by track: from this row on none is missing
    int32_t *roots              # by node: the row of the first one of its trace
    int64_t n_nodes


cdef inline bint row_of(const Threads *t, int64_t row, int64_t least, int64_t most, int32_t track) noexcept nogil:
    """Whether `row` is a row of the track and at or between two others."""
    return 0 <= row < t.history.n_rows and least <= row <= most and t.history.track[row] == track


cdef inline bint node_fits(const Threads *t, const Known *known, int64_t node, int32_t start, int32_t last) noexcept nogil:
    """Whether the rows of a trace are all from `start` to `last`, and of their track."""
    return -1 <= node < known.n_nodes and (node < 0 or (
        known.roots[node] >= start and row_of(t, t.trace.nodes[node].row, start, last, t.history.track[start])))


cdef int restore_nodes(Threads *t, Reader *r, Known *known) noexcept nogil:
    cdef int64_t n = reader_count(r, 24), i, parent, row, position
    known.roots = <int32_t *>malloc((n + 1) * sizeof(int32_t))
    if known.roots == NULL:
        return STATUS_NO_MEMORY
    for i in range(n):
        parent = reader_i64(r)
        row = reader_i64(r)
        position = reader_i64(r)
        if r.failed or not -1 <= parent < i or not 0 <= row < t.history.n_rows or not 0 <= position < t.n_positions:
            return STATUS_STATE
        if not t.recorded[position]:
            return STATUS_STATE
        if parent >= 0 and (t.trace.nodes[parent].row >= row or
                            t.history.track[t.trace.nodes[parent].row] != t.history.track[row]):
            return STATUS_STATE
        known.roots[i] = known.roots[parent] if parent >= 0 else <int32_t>row
        if trace_add(&t.trace, <int32_t>parent, <int32_t>row, <int32_t>position) == NO_NODE:
            return STATUS_NO_MEMORY
    known.n_nodes = n
    return STATUS_STATE if r.failed else STATUS_OK


cdef int restore_threads(Threads *t, Attempt *a, Definitions d, Reader *r, const Known *known) noexcept nogil:
    """The list of an attempt whose start and cursor are set."""
    cdef int64_t n = reader_count(r, 16), _i, position, node
    cdef int k
    cdef int32_t thread, tail = NONE
    for _i in range(n):
        position = reader_i64(r)
        node = reader_i64(r)
        if r.failed or not 0 <= position < t.n_positions + 2 or not node_fits(t, known, node, a.start, a.cursor):
            return STATUS_STATE
        if (position >= t.n_positions) != (a.cursor == NO_ROW) or not t.goes_on[position]:
            return STATUS_STATE
        if a.waits and (position >= t.n_positions or not t.seeks.n_exits[position]):
            return STATUS_STATE
        thread = thread_new(t)
        if thread == NONE:
            return STATUS_NO_MEMORY
        t.threads[thread].position = <int32_t>position
        t.threads[thread].node = <int32_t>node
        t.threads[thread].next = NONE
        t.threads[thread].registers = NONE
        for k in range(EXITS_MAX):
            t.threads[thread].wake[k] = NO_ROW
            t.threads[thread].key_state[k] = KEY_UNKNOWN
        if node >= 0:
            t.trace.nodes[node].references += 1
        if tail == NONE:
            a.threads = thread
        else:
            t.threads[tail].next = thread
        tail = thread
        if t.n_words:
            t.threads[thread].registers = block_new(t)
            if t.threads[thread].registers == NONE:
                return STATUS_NO_MEMORY
            if not reader_take(r, t.blocks + <int64_t>t.threads[thread].registers * t.n_words, t.n_words * 8):
                return STATUS_STATE
            if not d.check(&t.history, t.blocks + <int64_t>t.threads[thread].registers * t.n_words, a.start, a.cursor):
                return STATUS_STATE
    return STATUS_STATE if r.failed else STATUS_OK


cdef int restore_attempt(Threads *t, int32_t track, Definitions d, Reader *r, const Known *known) noexcept nogil:
    cdef int64_t start = reader_i64(r), cursor = reader_i64(r), last = reader_i64(r), node = reader_i64(r)
    cdef int64_t length = reader_i64(r), waits = reader_i64(r), number = reader_i64(r), steps = reader_i64(r)
    cdef int64_t state = reader_i64(r), given = reader_i64(r)
    cdef int32_t at
    cdef int status
    cdef Attempt *a
    if r.failed or not row_of(t, start, 0, known.newest[track], track) or \
            (t.tracks[track].tail != NONE and t.attempts[t.tracks[track].tail].start >= start):
        return STATUS_STATE
    if cursor != NO_ROW and not row_of(t, cursor, start, known.newest[track], track):
        return STATUS_STATE
    # The rows that it will step over. In turn, those behind it will begin at any of its own.
    if (not t.eager or state == OPEN) and \
            (start if not t.eager or cursor == NO_ROW else cursor) < known.unbroken[track]:
        return STATUS_STATE
    if last == NO_ROW:
        if (length != -1 and length != 0) or node != NO_NODE:
            return STATUS_STATE
    elif not row_of(t, last, start, cursor, track) or not node_fits(t, known, node, <int32_t>start, <int32_t>last) or \
            length != t.history.ordinal[last] - t.history.ordinal[start] + 1:
        return STATUS_STATE
    if (state != OPEN and state != DECIDED) or not 1 <= number <= t.tracks[track].rows + 1 or \
            not 0 <= steps < <int64_t>1 << 62 or (t.max_steps and state == OPEN and steps > t.max_steps) or \
            (given and not (t.numbered and t.eager and state == DECIDED)):
        return STATUS_STATE
    at = attempt_new(t, track, <int32_t>start, False, d)
    if at == NONE:
        return STATUS_NO_MEMORY
    a = &t.attempts[at]
    threads_list_drop(t, a.threads)
    a.threads = NONE
    a.cursor = <int32_t>cursor
    a.last = <int32_t>last
    a.node = <int32_t>node
    if node >= 0:
        t.trace.nodes[node].references += 1
    a.length = length
    a.waits = waits != 0
    a.number = number
    a.steps = steps
    a.state = <unsigned char>state
    a.given = given != 0
    status = restore_threads(t, a, d, r, known)
    if status != STATUS_OK:
        return status
    if (state == DECIDED) != (t.attempts[at].threads == NONE):
        return STATUS_STATE
    if t.indexed:
        attempt_activate(t, at)
    return track_arm(t, at) if state == OPEN else STATUS_OK


cdef int restore_track(Threads *t, int32_t track, Definitions d, Reader *r, int64_t next_sequence,
                       const Known *known) noexcept nogil:
    cdef Track *p = &t.tracks[track]
    cdef int64_t newest = reader_i64(r), waiting = reader_i64(r), covered = reader_i64(r), first = reader_i64(r)
    cdef int64_t begun = reader_i64(r), matches = reader_i64(r), rows = reader_i64(r), n = reader_count(r, 88), _i
    cdef int status
    # A match has its start row, and no two have the same.
    if r.failed or newest != known.newest[track] or not 0 <= rows <= next_sequence or not 0 <= matches <= rows or \
            (waiting != ROW_UNKNOWN and waiting != NO_ROW) or not NO_ROW <= covered < t.history.n_rows or \
            (rows and not begun):
        return STATUS_STATE
    if newest != NO_ROW and (t.history.ordinal[newest] != rows - 1 or
                             t.history.behind[newest] != (NO_ROW if t.ended else ROW_UNKNOWN)):
        return STATUS_STATE
    if first != NO_ROW and (not row_of(t, first, 0, newest, track) or t.history.ordinal[first] != 0):
        return STATUS_STATE
    if n > 1 and not t.eager:
        return STATUS_STATE
    p.newest = <int32_t>newest
    p.waiting = <int32_t>waiting
    p.covered = <int32_t>covered
    p.first = <int32_t>first
    p.begun = begun != 0
    p.matches = matches
    p.rows = rows
    for _i in range(n):
        status = restore_attempt(t, track, d, r, known)
        if status != STATUS_OK:
            return status
    return STATUS_OK


cdef int restore_known(Threads *t, Definitions d, Reader *r, int64_t next_sequence, Known *known) noexcept nogil:
    cdef int64_t n_tracks = t.keys.count, i
    cdef int status = history_restore(&t.history, r)
    if status != STATUS_OK:
        return status
    known.newest = <int32_t *>malloc((n_tracks + 1) * sizeof(int32_t))
    known.unbroken = <int32_t *>malloc((n_tracks + 1) * sizeof(int32_t))
    if known.newest == NULL or known.unbroken == NULL:
        return STATUS_NO_MEMORY
    if not history_whole(&t.history, n_tracks, next_sequence, known.newest, known.unbroken):
        return STATUS_STATE
    status = restore_nodes(t, r, known)
    if status != STATUS_OK:
        return status
    t.now = reader_i64(r)
    t.has_now = reader_i64(r) != 0
    t.ended = reader_i64(r) != 0
    if reader_count(r, 64) != n_tracks or r.failed:
        return STATUS_STATE
    status = tracks_reserve(t, n_tracks)
    for i in range(n_tracks):
        if status == STATUS_OK:
            status = restore_track(t, <int32_t>i, d, r, next_sequence, known)
    if status == STATUS_OK and (t.seeks.n_chains or t.seeks.n_trees):
        status = seeks_rebuild(&t.seeks, &t.history)
    if status != STATUS_OK:
        return status
    # Every node was held once by its making; who holds it now is known.
    for i in range(known.n_nodes):
        trace_drop(&t.trace, <int32_t>i)
    return STATUS_OK


cdef int threads_restore(Threads *t, Definitions d, Reader *r, int64_t next_sequence) noexcept nogil:
    cdef Known known
    cdef int status
    memset(&known, 0, sizeof(Known))
    status = restore_known(t, d, r, next_sequence, &known)
    free(known.newest)
    free(known.unbroken)
    free(known.roots)
    return status
