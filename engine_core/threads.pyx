"""Threads: one attempt, stepped row by row, with every way in which its rows may be mapped.

What        An attempt is all that may become of one start row: an ordered list of threads, most preferred first, and the
            candidate, the best match found so far. A step maps the next row to every position that can follow a thread's
            last one, in the order of the automaton's list; so the new list is in order of preference again. A thread that
            may end here becomes the candidate, and all that is less preferred goes (the candidate before it too: it was).
            When no thread is left, the candidate is the match.
Merging     two threads at one position with equal registers have the same future, and the less preferred one goes. Without
            registers to compare (`Definitions` with nothing captured) that is one thread per position and attempt.
Not yet     a definition may read rows that have not come (NEXT). Then the step is undone and taken again when they have;
            meanwhile the threads that are preferred to that verdict go ahead, and may settle the attempt without it.
Faults      a definition's fault (overflow) ends its attempt without a match; the first fault is kept to be told.
Invariants  every thread's position can go on; a list's threads are distinct; lists hold no position twice.
Source      ordered threads: Pike's simulation, with captures as in Trino's matcher; preferment ISO/IEC 19075-5, 7.2.
Cost        per row, attempt and thread about 30 ns, and what its definitions cost (captures).
"""
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from .captures cimport FALSE_ROW, FAULTY_ROW, KEY_ANY, KEY_KNOWN, KEY_NULL, KEY_UNKNOWN, NOT_YET, Definitions, Path
from .history cimport NO_ROW, ROW_UNKNOWN, history_free
from .keymap cimport keymap_free
from .seek cimport EXITS_MAX, Exit, seek_fits, seek_next, seeks_free
from .status cimport STATUS_LIMIT, STATUS_NO_MEMORY, STATUS_OK, Fault, fault_set
from .trace cimport NO_NODE, trace_add, trace_drop, trace_free, trace_hold


# ---------------------------------------------------------------- memory

cdef int threads_init(Threads *t) noexcept nogil:
    """After the program was filled in: the state's scratch, and empty pools."""
    cdef int i
    t.threads_spare = t.attempts_spare = t.preferred = NONE
    t.trace.spare = NO_NODE
    t.chain = <int32_t *>malloc((t.n_positions + 1) * sizeof(int32_t))
    t.reached = <int32_t *>malloc((t.n_positions + 1) * sizeof(int32_t))
    if t.chain == NULL or t.reached == NULL:
        return STATUS_NO_MEMORY
    for i in range(t.n_positions):
        t.chain[i] = NONE
    return STATUS_OK


cdef void threads_free(Threads *t) noexcept nogil:
    """The state; the program is its maker's."""
    keymap_free(&t.keys)
    history_free(&t.history)
    seeks_free(&t.seeks)
    trace_free(&t.trace)
    free(t.threads)
    free(t.blocks)
    free(t.blocks_spare)
    free(t.attempts)
    free(t.tracks)
    free(t.dues)
    free(t.chain)
    free(t.reached)
    free(t.match_rows)
    free(t.match_positions)
    free(t.turn)


cdef int32_t thread_new(Threads *t) noexcept nogil:
    cdef int32_t at = t.threads_spare
    cdef int64_t room
    cdef void *p
    if at != NONE:
        t.threads_spare = t.threads[at].next
        return at
    if t.n_threads == t.threads_room:
        room = 2 * <int64_t>t.threads_room + 64
        if room > 0x7fffffff:
            return NONE
        p = realloc(t.threads, room * sizeof(Thread))
        if p == NULL:
            return NONE
        t.threads = <Thread *>p
        t.threads_room = <int32_t>room
    at = t.n_threads
    t.n_threads += 1
    return at


cdef int32_t block_new(Threads *t) noexcept nogil:
    cdef int64_t room
    cdef void *p
    if t.n_blocks_spare:
        t.n_blocks_spare -= 1
        return t.blocks_spare[t.n_blocks_spare]
    if t.n_blocks == t.blocks_room:
        room = 2 * <int64_t>t.blocks_room + 64
        if room > 0x7fffffff:
            return NONE
        p = realloc(t.blocks, room * t.n_words * sizeof(uint64_t))
        if p == NULL:
            return NONE
        t.blocks = <uint64_t *>p
        p = realloc(t.blocks_spare, room * sizeof(int32_t))
        if p == NULL:
            return NONE
        t.blocks_spare = <int32_t *>p
        t.blocks_room = <int32_t>room
    t.n_blocks += 1
    return t.n_blocks - 1


cdef inline void block_drop(Threads *t, int32_t block) noexcept nogil:
    if block != NONE:
        t.blocks_spare[t.n_blocks_spare] = block
        t.n_blocks_spare += 1


cdef inline uint64_t *block_at(const Threads *t, int32_t block) noexcept nogil:
    return t.blocks + <int64_t>block * t.n_words


cdef inline void thread_drop(Threads *t, int32_t thread) noexcept nogil:
    trace_drop(&t.trace, t.threads[thread].node)
    block_drop(t, t.threads[thread].registers)
    t.threads[thread].position = NONE
    t.threads[thread].next = t.threads_spare
    t.threads_spare = thread


cdef void threads_list_drop(Threads *t, int32_t thread) noexcept nogil:
    cdef int32_t following
    while thread != NONE:
        following = t.threads[thread].next
        thread_drop(t, thread)
        thread = following


cdef void threads_fault(Threads *t, const Fault *fault) noexcept nogil:
    if t.fault.code != STATUS_OK:
        t.fault.more += 1
    else:
        t.fault = fault[0]


cdef int32_t attempt_new(Threads *t, int32_t track, int32_t start, bint at_start, Definitions d) noexcept nogil:
    """An attempt at history row `start`, not yet stepped, at the end of its track's list; NONE: no memory."""
    cdef int32_t at = t.attempts_spare, thread
    cdef int64_t room
    cdef int32_t list_ = t.n_positions + at_start
    cdef uint32_t generation = 0, ticket = 0
    cdef Attempt *a
    cdef void *p
    if at != NONE:
        t.attempts_spare = t.attempts[at].after
        generation = t.attempts[at].generation + 1
        ticket = t.attempts[at].ticket + 1
    else:
        if t.n_attempts == t.attempts_room:
            room = 2 * <int64_t>t.attempts_room + 64
            if room > 0x7fffffff:
                return NONE
            p = realloc(t.attempts, room * sizeof(Attempt))
            if p == NULL:
                return NONE
            t.attempts = <Attempt *>p
            t.attempts_room = <int32_t>room
        at = t.n_attempts
        t.n_attempts += 1
    thread = thread_new(t)
    if thread == NONE:
        return NONE
    t.threads[thread].position = list_
    t.threads[thread].node = NO_NODE
    t.threads[thread].next = NONE
    t.threads[thread].registers = NONE
    wait_from_here(&t.threads[thread])
    if t.n_words:
        t.threads[thread].registers = block_new(t)
        if t.threads[thread].registers == NONE:
            return NONE
        d.blank(block_at(t, t.threads[thread].registers))
    a = &t.attempts[at]
    a.track = track
    a.start = start
    a.cursor = NO_ROW
    a.threads = thread
    a.node = NO_NODE
    a.last = NO_ROW
    a.length = 0 if t.accepts[list_] else -1
    a.waits = 0
    a.parked = 0
    a.ticket = ticket
    a.active = 0
    a.number = t.tracks[track].matches + 1
    a.steps = 0
    a.generation = generation
    a.state = OPEN
    a.used = 1
    a.armed = 0
    a.given = 0
    if not t.goes_on[list_]:
        threads_list_drop(t, thread)
        a.threads = NONE
    a.after = NONE
    a.before = t.tracks[track].tail
    if a.before != NONE:
        t.attempts[a.before].after = at
    else:
        t.tracks[track].head = at
    t.tracks[track].tail = at
    t.n_open += 1
    return at


cdef void attempt_drop(Threads *t, int32_t attempt) noexcept nogil:
    """Takes it out of its track's list, with all it holds."""
    cdef Attempt *a = &t.attempts[attempt]
    attempt_rest(t, attempt)
    threads_list_drop(t, a.threads)
    trace_drop(&t.trace, a.node)
    if a.before != NONE:
        t.attempts[a.before].after = a.after
    else:
        t.tracks[a.track].head = a.after
    if a.after != NONE:
        t.attempts[a.after].before = a.before
    else:
        t.tracks[a.track].tail = a.before
    a.used = 0
    a.threads = NONE
    a.node = NO_NODE
    a.after = t.attempts_spare
    t.attempts_spare = attempt
    t.n_open -= 1


# ---------------------------------------------------------------- the step

cdef inline void wait_from_here(Thread *thread) noexcept nogil:
    cdef int i
    for i in range(EXITS_MAX):
        thread.wake[i] = NO_ROW
        thread.key_state[i] = KEY_UNKNOWN


cdef inline void wait_on(Thread *thread, const Thread *before) noexcept nogil:
    """It stands where `before` stood, with the same registers."""
    cdef int i
    for i in range(EXITS_MAX):
        thread.wake[i] = before.wake[i]
        thread.key_state[i] = before.key_state[i]
        thread.value[i] = before.value[i]
        thread.also[i] = before.also[i]


cdef int attempt_key(Threads *t, const Attempt *a, int32_t thread, int i, Definitions d) noexcept nogil:
    cdef Thread *at = &t.threads[thread]
    cdef int key = t.seeks.exits[at.position * EXITS_MAX + i].key
    cdef Path path
    if key >= 0 and at.key_state[i] == KEY_UNKNOWN:
        path.trace = &t.trace
        path.variable = t.variable
        path.number = a.number
        path.registers = block_at(t, at.registers) if t.n_words else NULL
        path.node = at.node
        at.key_state[i] = <uint8_t>d.key(&t.history, &path, key, &at.value[i])
        key = t.seeks.exits[at.position * EXITS_MAX + i].also_key
        if at.key_state[i] == KEY_KNOWN and key >= 0:
            at.key_state[i] = <uint8_t>d.key(&t.history, &path, key, &at.also[i])
    return at.key_state[i]


cdef void attempt_activate(Threads *t, int32_t attempt) noexcept nogil:
    cdef Attempt *a = &t.attempts[attempt]
    cdef Track *p = &t.tracks[a.track]
    if a.active:
        return
    a.active = 1
    a.active_before = NONE
    a.active_after = p.active
    if p.active != NONE:
        t.attempts[p.active].active_before = attempt
    p.active = attempt


cdef void attempt_rest(Threads *t, int32_t attempt) noexcept nogil:
    cdef Attempt *a = &t.attempts[attempt]
    if not a.active:
        return
    a.active = 0
    if a.active_before != NONE:
        t.attempts[a.active_before].active_after = a.active_after
    else:
        t.tracks[a.track].active = a.active_after
    if a.active_after != NONE:
        t.attempts[a.active_after].active_before = a.active_before


cdef int32_t attempt_wake(Threads *t, const Attempt *a, int32_t following, Definitions d) noexcept nogil:
    """The first row from `following` on at which a waiting thread may find its way out, or NO_ROW."""
    cdef int32_t thread = a.threads, best = NO_ROW, row
    cdef int32_t newest = t.tracks[a.track].newest
    cdef const Exit *e
    cdef Thread *at
    cdef int i, state
    while thread != NONE:
        at = &t.threads[thread]
        for i in range(t.seeks.n_exits[at.position]):
            e = &t.seeks.exits[at.position * EXITS_MAX + i]
            if e.key >= 0:
                state = attempt_key(t, a, thread, i, d)
                if state == KEY_NULL:
                    continue
                if state == KEY_ANY:
                    return following
            row = at.wake[i]
            if row < following:
                if following == newest:
                    row = following if seek_fits(&t.seeks, &t.history, e, at.value[i], at.also[i], following) else NO_ROW
                else:
                    row = seek_next(&t.seeks, &t.history, e, at.value[i], at.also[i], following - 1,
                                    NO_ROW if t.eager else a.start, a.track)
                at.wake[i] = row
            if row >= 0 and (best < 0 or row < best):
                best = row
        thread = at.next
    return best


cdef inline void chains_clear(Threads *t) noexcept nogil:
    cdef int32_t i
    for i in range(t.n_reached):
        t.chain[t.reached[i]] = NONE
    t.n_reached = 0


cdef inline bint known(const Threads *t, int32_t position, const uint64_t *registers) noexcept nogil:
    """Whether a new thread at `position` has these registers already."""
    cdef int32_t at = t.chain[position]
    while at != NONE:
        if t.n_words == 0 or memcmp(block_at(t, t.threads[at].registers), registers, t.n_words * 8) == 0:
            return True
        at = t.threads[at].same
    return False


cdef inline void candidate_set(Threads *t, Attempt *a, int32_t node, int32_t last) noexcept nogil:
    trace_hold(&t.trace, node)
    trace_drop(&t.trace, a.node)
    a.node = node
    a.last = last
    a.length = t.history.ordinal[last] - t.history.ordinal[a.start] + 1 if last >= 0 else 0


cdef Outcome step(Threads *t, int32_t attempt, int32_t row, Definitions d) noexcept nogil:
    """Maps `row`. OPEN: done, and the attempt may be over; DECIDED stands here for NOT_YET: nothing was done, and
    `t.preferred` are the new threads that are preferred to the one whose definition cannot be told yet."""
    cdef Attempt *a = &t.attempts[attempt]
    cdef uint64_t mask = t.history.mask[row]
    cdef int32_t thread = a.threads, head = NONE, tail = NONE, made, block, q
    cdef int64_t k
    cdef int verdict
    cdef bint ended = False, waits = True
    cdef Path path
    cdef Fault fault
    cdef const Thread *from_
    cdef Outcome outcome = OPEN
    memset(&fault, 0, sizeof(Fault))
    path.trace = &t.trace
    path.variable = t.variable
    path.number = a.number
    while thread != NONE and not ended and outcome == OPEN:
        for k in range(t.follow_begin[t.threads[thread].position], t.follow_begin[t.threads[thread].position + 1]):
            q = t.follow[k]
            if q < 0 or (t.condition[q] >= 0 and not (mask >> t.condition[q]) & 1):
                continue
            if not t.goes_on[q] and not t.accepts[q]:
                continue        # a dead end: no match can follow
            if t.n_words == 0 and t.chain[q] != NONE and not d.traced:
                continue        # reached by a more preferred thread; nothing tells the two apart
            a.steps += 1
            if t.max_steps and a.steps > t.max_steps:
                fault_set(&fault, STATUS_LIMIT, -1, -1, a.steps, t.max_steps, "max_steps")
                outcome = FAILED
                break
            from_ = &t.threads[thread]
            if t.rest[q] >= 0:
                path.registers = block_at(t, from_.registers) if t.n_words else NULL
                path.node = from_.node
                verdict = d.holds(&t.history, &path, t.rest[q], row, t.variable[q], &fault)
                if verdict == FALSE_ROW:
                    continue
                if verdict == NOT_YET:
                    outcome = DECIDED
                    break
                if verdict == FAULTY_ROW:
                    fault.item = t.rest[q]
                    outcome = EXHAUSTED if fault.code == STATUS_NO_MEMORY else FAILED
                    break
            block = NONE
            if t.n_words:
                block = block_new(t)
                if block == NONE:
                    outcome = EXHAUSTED
                    break
                memcpy(block_at(t, block), block_at(t, t.threads[thread].registers), t.n_words * 8)
                if d.capture(&t.history, block_at(t, block), row, t.variable[q], a.number, &fault) != STATUS_OK:
                    block_drop(t, block)
                    fault.item = -1
                    outcome = FAILED
                    break
                d.forget(block_at(t, block), t.live[q])
                if known(t, q, block_at(t, block)):
                    block_drop(t, block)
                    continue
            made = thread_new(t)
            if made == NONE:
                outcome = EXHAUSTED
                break
            t.threads[made].position = q
            t.threads[made].registers = block
            t.threads[made].next = NONE
            t.threads[made].same = t.chain[q]
            if q == t.threads[thread].position and t.seeks.n_exits[q]:
                wait_on(&t.threads[made], &t.threads[thread])
            else:
                wait_from_here(&t.threads[made])
            waits = waits and t.seeks.n_exits[q]
            if t.recorded[q]:
                t.threads[made].node = trace_add(&t.trace, t.threads[thread].node, row, q)
                if t.threads[made].node == NO_NODE:
                    outcome = EXHAUSTED
            else:
                t.threads[made].node = t.threads[thread].node
                trace_hold(&t.trace, t.threads[made].node)
            if t.chain[q] == NONE:
                t.reached[t.n_reached] = q
                t.n_reached += 1
            t.chain[q] = made
            if tail == NONE:
                head = made
            else:
                t.threads[tail].next = made
            tail = made
            if t.accepts[q]:
                ended = True
                break
        thread = t.threads[thread].next
    chains_clear(t)
    if outcome == DECIDED:
        t.preferred = head
        return outcome
    if outcome != OPEN:
        threads_list_drop(t, head)
        if outcome == FAILED:
            fault.row = -1
            fault.stage = STAGE_STEPS if fault.code == STATUS_LIMIT else STAGE_DEFINITION
            threads_fault(t, &fault)
            threads_list_drop(t, a.threads)
            trace_drop(&t.trace, a.node)
            a.threads = NONE
            a.node = NO_NODE
            a.last = NO_ROW
            a.length = -1
        return outcome
    threads_list_drop(t, a.threads)
    a.threads = head
    a.cursor = row
    a.waits = waits
    if ended:
        candidate_set(t, a, t.threads[tail].node, row)
        if not t.goes_on[t.threads[tail].position]:
            made = head
            if head == tail:
                a.threads = NONE
            else:
                while t.threads[made].next != tail:
                    made = t.threads[made].next
                t.threads[made].next = NONE
            thread_drop(t, tail)
    return OPEN


cdef inline bint may_end(const Threads *t, const Attempt *a) noexcept nogil:
    """Whether a thread waits for the end of the partition ($), which no window closes."""
    cdef int32_t thread = a.threads
    while thread != NONE:
        if t.at_end[t.threads[thread].position]:
            return True
        thread = t.threads[thread].next
    return False


cdef Outcome over_rows(Threads *t, int32_t attempt, Definitions d) noexcept nogil:
    """Steps over the rows that have come. HELD_UP: the next row's step could not be taken, see step."""
    cdef Attempt *a = &t.attempts[attempt]
    cdef int32_t following, thread, wake
    cdef int64_t closes = INT64_MAX
    cdef Outcome outcome
    if t.within and t.history.time[a.start] <= INT64_MAX - t.interval:
        closes = t.history.time[a.start] + t.interval
    while a.threads != NONE:
        following = a.start if a.cursor == NO_ROW else t.history.behind[a.cursor]
        if following == ROW_UNKNOWN:
            if t.within and t.has_now and t.now >= closes and not may_end(t, a):
                break
            return OPEN
        if following == NO_ROW:
            # The partition ends here. A thread that may end there is preferred to the candidate, since it is alive.
            thread = a.threads
            while thread != NONE and not t.at_end[t.threads[thread].position]:
                thread = t.threads[thread].next
            if thread != NONE:
                candidate_set(t, a, t.threads[thread].node, a.cursor)
            break
        if a.waits:
            wake = attempt_wake(t, a, following, d)
            if wake == NO_ROW:          # nothing that has come can move it
                following = t.tracks[a.track].newest
                if t.within and t.history.time[following] >= closes:
                    break
                a.cursor = following
                continue
            if wake != following:
                a.cursor = t.history.before[wake]
                following = wake
        if t.within and t.history.time[following] >= closes:
            break
        outcome = step(t, attempt, following, d)
        if outcome == DECIDED:
            return HELD_UP
        if outcome == EXHAUSTED:
            return EXHAUSTED
    threads_list_drop(t, a.threads)
    a.threads = NONE
    a.state = DECIDED
    return DECIDED


cdef Outcome attempt_run(Threads *t, int32_t attempt, Definitions d) noexcept nogil:
    cdef Attempt *a = &t.attempts[attempt]
    cdef Attempt before
    cdef Fault fault
    cdef Outcome outcome = over_rows(t, attempt, d)
    if outcome != HELD_UP:
        return outcome
    # What is preferred to the verdict that is not known yet may settle the attempt without it; else all is undone.
    before = a[0]
    fault = t.fault
    a.threads = NONE
    a.node = NO_NODE
    while outcome == HELD_UP and t.preferred != NONE:
        threads_list_drop(t, a.threads)
        trace_drop(&t.trace, a.node)
        a.threads = t.preferred
        t.preferred = NONE
        a.cursor = a.start if a.cursor == NO_ROW else t.history.behind[a.cursor]
        a.waits = 0
        a.node = NO_NODE
        a.length = -1
        outcome = over_rows(t, attempt, d)
    if outcome == DECIDED and a.length >= 0:
        threads_list_drop(t, before.threads)
        trace_drop(&t.trace, before.node)
        return DECIDED
    threads_list_drop(t, a.threads)
    trace_drop(&t.trace, a.node)
    before.steps = a.steps
    a[0] = before
    t.fault = fault
    return EXHAUSTED if outcome == EXHAUSTED else OPEN
