"""Timers: WITHIN makes a candidate certain when the time has passed, whoever's event moved it.

What        a part in which some attempt has a candidate sets one timer, for the moment its oldest attempt expires; a binary
            heap by (moment, sequence of that attempt), so that equal moments have one order whatever the cut.
Invariants  a timer of a part that was given back is recognised by its generation. Parts without a candidate set none:
            their expired attempts can yield nothing and leave when the partition is touched or swept.
Cost        logarithmic per timer, nothing per row.
"""
from libc.stdint cimport INT64_MAX, int64_t
from libc.stdlib cimport realloc

from .ends cimport expire
from .parts cimport Attempts, Part, Start, Timer, part_at, part_release, start_at
from .status cimport STATUS_NO_MEMORY, STATUS_OK


cdef inline bint timer_before(const Timer *x, const Timer *y) noexcept nogil:
    return x.due < y.due or (x.due == y.due and x.sequence < y.sequence)


cdef int timer_push(Attempts *a, const Timer *timer) noexcept nogil:
    cdef int64_t i = a.n_timers, up, room
    cdef void *p
    if a.n_timers == a.timers_room:
        room = 2 * a.timers_room + 64
        p = realloc(a.timers, room * sizeof(Timer))
        if p == NULL:
            return STATUS_NO_MEMORY
        a.timers = <Timer *>p
        a.timers_room = room
    a.n_timers += 1
    while i > 0:
        up = (i - 1) >> 1
        if not timer_before(timer, &a.timers[up]):
            break
        a.timers[i] = a.timers[up]
        i = up
    a.timers[i] = timer[0]
    return STATUS_OK


cdef void timer_pop(Attempts *a) noexcept nogil:
    cdef Timer last
    cdef int64_t i = 0, child
    a.n_timers -= 1
    if a.n_timers == 0:
        return
    last = a.timers[a.n_timers]
    while 2 * i + 1 < a.n_timers:
        child = 2 * i + 1
        if child + 1 < a.n_timers and timer_before(&a.timers[child + 1], &a.timers[child]):
            child += 1
        if not timer_before(&a.timers[child], &last):
            break
        a.timers[i] = a.timers[child]
        i = child
    a.timers[i] = last


cdef inline int64_t due_of(const Attempts *a, const Start *s) noexcept nogil:
    return s.time + a.interval if s.time <= INT64_MAX - a.interval else INT64_MAX


cdef int attempts_arm(Attempts *a, Part *p) noexcept nogil:
    """Sees to it that a part with a candidate is looked at when its oldest attempt expires."""
    cdef Timer timer
    cdef Start *s
    if not a.within or p.armed or not p.held or p.head == p.tail:
        return STATUS_OK
    s = start_at(a, p, p.head)
    timer.due = due_of(a, s)
    timer.sequence = s.sequence
    timer.part = a.part_of[p.partition] - 1
    timer.generation = p.cold.generation
    p.armed = True
    return timer_push(a, &timer)


cdef int attempts_advance(Attempts *a, int64_t time) noexcept nogil:
    cdef Timer timer
    cdef Part *p
    cdef int status
    while a.n_timers and a.timers[0].due <= time:
        timer = a.timers[0]
        timer_pop(a)
        p = part_at(a, timer.part)
        if p.cold.generation != timer.generation:
            continue
        p.armed = False
        # Only to the moment that was due: the part's next one takes its turn among the others.
        a.closing = True
        a.due = timer.due
        a.turn = timer.sequence
        status = expire(a, p, timer.due)
        a.closing = False
        if status != STATUS_OK:
            return status
        if p.head == p.tail:
            part_release(a, p)
            continue
        status = attempts_arm(a, p)
        if status != STATUS_OK:
            return status
    return STATUS_OK
