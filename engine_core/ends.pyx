"""The ends of attempts: when one is over, what is reported and what falls with it.

What        Under SKIP PAST LAST ROW only the oldest attempt is decisive: when it ends with a match, the attempts inside the
            match fall; when it ends without, the next oldest takes over, with what it found meanwhile. Under SKIP TO
            NEXT ROW each attempt reports its own match as soon as it is certain (and its number, if that is asked).
Cost        each attempt ends once; those of SKIP TO NEXT ROW are looked for from the newest end, which younger
            attempts pay for at most once per state.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memset

from .column cimport column_time
from .groups cimport candidate_of, part_group, start_free
from .measure cimport Found, measure_emit
from .parts cimport (GROUP_RESOLVED, NO_CANDIDATE, NO_GROUP, Attempts, Group, Part, Start, group_at, group_words,
                     next_number, record_at, record_find, root_of, start_at, start_number, start_words)
from .status cimport STATUS_NO_MEMORY, STATUS_OK, Fault, fault_set


cdef int64_t settled_now(const Attempts *a) noexcept nogil:
    """Which event makes a match certain now: the row under way, or the first whose time closes its window."""
    cdef int64_t low = 0, high = a.n_rows, middle
    if not a.closing:
        return 2 * (a.base_sequence + a.row) + 1
    while low < high:
        middle = (low + high) >> 1
        if column_time(a.times, middle) < a.due:
            low = middle + 1
        else:
            high = middle
    return 2 * (a.base_sequence + low)


cdef int emit(Attempts *a, Part *p, int64_t number, int64_t first, int64_t time, int64_t last, const uint64_t *start_values,
              const uint64_t *end_values) noexcept nogil:
    """One match; `last` = NO_CANDIDATE for an empty one. A measure's fault keeps the match out and is remembered."""
    cdef Found found
    cdef Fault fault
    cdef int status
    cdef int64_t begin
    # All of it: what goes wrong may leave it as it is (a full column says only its status).
    fault_set(&fault, STATUS_OK, -1, -1, 0, 0, NULL)
    found.n_records = 0
    found.records = NULL
    found.partition = p.partition
    found.number = number
    found.first_sequence = first
    found.first_time = time
    found.last_sequence = last
    if a.ranked:
        found.settled = settled_now(a)
        found.turn = a.turn if a.closing else 0
    found.empty = last == NO_CANDIDATE
    found.start_values = start_values
    found.end_values = end_values
    if a.measures.labelled and not found.empty:
        begin = record_find(a, p, first)
        found.records = <const uint8_t *>record_at(a, p, begin)
        found.n_records = record_find(a, p, last + 1) - begin
    status = measure_emit(&a.measures, &a.dfa, &a.keys, &found, a.out, &fault)
    if status != STATUS_OK and status != STATUS_NO_MEMORY:
        if a.fault.code == STATUS_OK:
            a.fault = fault
            a.fault.code = status
        else:
            a.fault.more += 1
        return STATUS_OK
    return status


cdef int emit_start(Attempts *a, Part *p, Start *s, int64_t number, int64_t candidate, Group *where) noexcept nogil:
    cdef const uint64_t *ends = NULL
    if candidate != NO_CANDIDATE and a.n_end_values:
        ends = group_words(where)
    return emit(a, p, number, s.sequence, s.time, candidate, start_words(s) if a.n_start_values else NULL, ends)


cdef int end_front(Attempts *a, Part *p) noexcept nogil:
    """The oldest attempt is over: report it, and drop what its match covers."""
    cdef Start *s = start_at(a, p, p.head)
    cdef Group *where = NULL
    cdef int64_t candidate, number
    cdef int status = STATUS_OK
    if s.group == NO_GROUP:         # a hole: reported before
        p.head += 1
        a.n_open -= 1
        return STATUS_OK
    candidate = candidate_of(a, p, s, &where)
    if candidate != NO_CANDIDATE or a.dfa.start_accept:
        if a.overlapping and p.cold.counted > p.head:
            number = start_number(a, s)[0] if a.numbered else 0
        else:
            number = next_number(a, p)
        status = emit_start(a, p, s, number, candidate, where)
    start_free(a, p, s)
    p.head += 1
    a.n_open -= 1
    if p.cold.counted < p.head:
        p.cold.counted = p.head
    if candidate != NO_CANDIDATE and not a.overlapping:
        while p.head < p.tail and start_at(a, p, p.head).sequence <= candidate:
            start_free(a, p, start_at(a, p, p.head))
            p.head += 1
            a.n_open -= 1
    return status


cdef int end_resolved(Attempts *a, Part *p) noexcept nogil:
    """Reports attempts from the oldest on, as far as they are over."""
    cdef Start *s
    cdef int status
    while p.head < p.tail:
        s = start_at(a, p, p.head)
        if s.group != NO_GROUP and group_at(a, p, root_of(a, p, s.group)).flags & GROUP_RESOLVED == 0:
            break
        status = end_front(a, p)
        if status != STATUS_OK:
            return status
    return STATUS_OK


cdef void make_hole(Attempts *a, Part *p, Start *s) noexcept nogil:
    """An attempt that is over leaves its group and keeps its place, until those before it are over too."""
    start_free(a, p, s)
    s.group = NO_GROUP
    if a.n_start_values:
        memset(start_words(s), 0, 8 * (1 + a.n_start_values))


cdef void drop_holes(Attempts *a, Part *p) noexcept nogil:
    while p.head < p.tail and start_at(a, p, p.head).group == NO_GROUP:
        p.head += 1
        a.n_open -= 1
    if p.cold.counted < p.head:
        p.cold.counted = p.head


cdef int end_anywhere(Attempts *a, Part *p, uint32_t members) noexcept nogil:
    """SKIP TO NEXT ROW: reports the `members` attempts that this row resolved, wherever they stand, oldest first."""
    cdef uint32_t i = p.tail, first
    cdef Start *s
    cdef Group *where = NULL
    cdef int64_t candidate
    cdef int status = STATUS_OK
    while members and i > p.head:
        i -= 1
        s = start_at(a, p, i)
        if s.group != NO_GROUP and group_at(a, p, root_of(a, p, s.group)).flags & GROUP_RESOLVED:
            members -= 1
    first = i
    for i in range(first, p.tail):
        s = start_at(a, p, i)
        if s.group == NO_GROUP or group_at(a, p, root_of(a, p, s.group)).flags & GROUP_RESOLVED == 0:
            continue
        candidate = candidate_of(a, p, s, &where)
        if status == STATUS_OK and (candidate != NO_CANDIDATE or a.dfa.start_accept):
            status = emit_start(a, p, s, 0, candidate, where)
        make_hole(a, p, s)
    drop_holes(a, p)
    return status


cdef int end_numbered(Attempts *a, Part *p) noexcept nogil:
    """SKIP TO NEXT ROW with MATCH_NUMBER(): gives the numbers that are certain, and reports whoever is over and has one.

    A number is certain as soon as each earlier start is known to match or not; how far it matches does not
    matter. Nothing is reported twice: who was is a hole.
    """
    cdef uint32_t i
    cdef Start *s
    cdef Group *where = NULL
    cdef int64_t candidate
    cdef int status = STATUS_OK
    while p.cold.counted < p.tail:
        s = start_at(a, p, p.cold.counted)
        if candidate_of(a, p, s, &where) != NO_CANDIDATE or a.dfa.start_accept:
            start_number(a, s)[0] = next_number(a, p)
        elif group_at(a, p, root_of(a, p, s.group)).flags & GROUP_RESOLVED == 0:
            break
        p.cold.counted += 1
    for i in range(p.head, p.cold.counted):
        s = start_at(a, p, i)
        if s.group == NO_GROUP or group_at(a, p, root_of(a, p, s.group)).flags & GROUP_RESOLVED == 0:
            continue
        candidate = candidate_of(a, p, s, &where)
        if status == STATUS_OK and (candidate != NO_CANDIDATE or a.dfa.start_accept):
            status = emit_start(a, p, s, start_number(a, s)[0], candidate, where)
        make_hole(a, p, s)
    drop_holes(a, p)
    return status


cdef int expire(Attempts *a, Part *p, int64_t time) noexcept nogil:
    """Ends the attempts that no row at or behind `time` can extend (WITHIN)."""
    cdef Start *s
    cdef int status
    if not p.grouped:
        status = part_group(a, p)
        if status != STATUS_OK:
            return status
    while p.head < p.tail:
        s = start_at(a, p, p.head)
        if <uint64_t>time - <uint64_t>s.time < <uint64_t>a.interval or time < s.time:
            break
        status = end_front(a, p)
        if status != STATUS_OK:
            return status
        # Whoever is the oldest now may be over already.
        status = end_numbered(a, p) if a.overlapping and a.numbered else end_resolved(a, p)
        if status != STATUS_OK:
            return status
    return STATUS_OK
