"""Cohorts: all open attempts of a partition stepped by one table look-up.

What        Under SKIP PAST LAST ROW, attempts that follow each other in age and stand in the same state form a cohort. The
            list of a partition's cohorts (state, and whether it holds a candidate), oldest first, is its configuration.
            What a letter does to a configuration does not depend on the data, so it is worked out once: the next
            configuration, and which attempts fall, join, start or are reported (a Move). A row then costs one
            look-up, and for most rows nothing else.
Where not   A partition with more than COHORTS_MAX cohorts, a cache with more than CONFIGS_MAX configurations, and moves
            whose effect depends on the data (a candidate that was found while an older attempt was open) are
            left to groups (see attempts), which can do everything. So can patterns with more than 8 conditions, patterns
            that match the empty sequence, and SKIP TO NEXT ROW.
Example     `A X*? B Y*? C` within a window: {}, {waits for B}, {waits for C}, {waits for C, waits for B}.
Without WITHIN  a cohort without a candidate keeps only its oldest attempt, and a younger cohort without a candidate in
            the state of an older one is dropped: neither could ever be reported (see `thin` in attempts).
Invariants  configs[0] has no cohort; a cohort in state DEAD holds a candidate and is not the oldest; neighbours in
            the same state without a candidate are one.
"""
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from .automaton cimport CODE_ACCEPT, CODE_NO_MEMORY, CODE_STATE, DEAD, Dfa, dfa_next
from .status cimport STATUS_NO_MEMORY, STATUS_OK


cdef int cohorts_init(Cohorts *c, bint on, bint within, int stride) noexcept nogil:
    memset(c, 0, sizeof(Cohorts))
    c.on = on
    c.within = within
    if not on:
        return STATUS_OK
    c.stride = stride
    c.configs = <Config *>calloc(CONFIGS_MAX, sizeof(Config))
    c.codes = <uint32_t *>calloc(CONFIGS_MAX * stride, sizeof(uint32_t))
    if c.configs == NULL or c.codes == NULL:
        return STATUS_NO_MEMORY
    c.configs[0].moves = <Move *>calloc(stride, sizeof(Move))
    c.configs[0].popped = CONFIG_UNKNOWN
    c.n_configs = 1
    return STATUS_OK if c.configs[0].moves != NULL else STATUS_NO_MEMORY


cdef void cohorts_free(Cohorts *c) noexcept nogil:
    cdef uint32_t i
    for i in range(c.n_configs):
        free(c.configs[i].moves)
    free(c.configs)
    free(c.codes)
    memset(c, 0, sizeof(Cohorts))


cdef uint32_t intern(Cohorts *c, const Config *wanted, int stride) noexcept nogil:
    """The number of a configuration; CONFIG_UNKNOWN when the cache is full (or memory is)."""
    cdef uint32_t i, k
    cdef Config *have
    for i in range(c.n_configs):
        have = &c.configs[i]
        if have.n != wanted.n:
            continue
        for k in range(wanted.n):
            if have.state[k] != wanted.state[k] or have.held[k] != wanted.held[k]:
                break
        else:
            return i
    if c.n_configs == CONFIGS_MAX:
        return CONFIG_UNKNOWN
    have = &c.configs[c.n_configs]
    have[0] = wanted[0]
    have.moves = <Move *>calloc(stride, sizeof(Move))
    have.popped = CONFIG_UNKNOWN
    have.any_held = False
    for k in range(wanted.n):
        have.any_held = have.any_held or wanted.held[k] != HELD_NOTHING
    if have.moves == NULL:
        return CONFIG_UNKNOWN
    c.n_configs += 1
    return c.n_configs - 1


cdef int finish_move(Cohorts *c, Dfa *d, const Config *old, Config *after, Move *move) noexcept nogil:
    """Names the move's kind; the cheapest that says it all."""
    cdef uint32_t k, kept
    cdef bint straight = move.emit == 0
    move.n = <uint8_t>after.n
    for k in range(after.n):
        if after.held[k] == HELD_NOW:
            after.held[k] = HELD_FRONT if after.n == 1 and move.first[0] == NEW_START else HELD_MATCH
    move.next = intern(c, after, d.stride)
    if move.next == CONFIG_UNKNOWN:
        move.kind = MOVE_GROUPS
        return STATUS_OK
    # Straight: every old cohort is there again, alone, with the candidate it had.
    kept = after.n
    if move.push and after.n and move.first[after.n - 1] == NEW_START:
        kept -= 1
    if kept != old.n:
        straight = False
    for k in range(kept):
        if move.first[k] != k or move.last[k] != k or move.held[k] == HELD_NOW:
            straight = False
            break
    if not straight and not move.emit and after.n == 1 and move.first[0] == NEW_START and move.held[0] != HELD_NOW:
        move.kind = MOVE_RESTART
    elif not straight:
        move.kind = MOVE_GENERAL
    elif not move.push:
        move.kind = MOVE_STAY
    elif kept < after.n:
        move.kind = MOVE_PUSH if move.held[kept] != HELD_NOW else MOVE_GENERAL
    else:
        move.kind = MOVE_JOIN
    return STATUS_OK


cdef int cohorts_move(Cohorts *c, Dfa *d, uint32_t config, uint32_t letter) noexcept nogil:
    cdef Move *move = &c.configs[config].moves[letter]
    cdef int status = work_out(c, d, config, letter)
    if status == STATUS_OK:
        c.codes[config * c.stride + letter] = (<uint32_t>move.kind << 24) | (<uint32_t>move.n << 16) | \
            (move.next & 0xFFFF)
    return status


cdef int work_out(Cohorts *c, Dfa *d, uint32_t config, uint32_t letter) noexcept nogil:
    cdef Config *old = &c.configs[config]
    cdef Move *move = &old.moves[letter]
    cdef Config after
    cdef uint32_t states[COHORTS_MAX]
    cdef uint8_t held[COHORTS_MAX]
    cdef uint32_t i, k, code, state
    cdef bint covered = False, redundant
    memset(&after, 0, sizeof(Config))
    memset(move, 0, sizeof(Move))
    for i in range(old.n):
        states[i] = old.state[i]
        held[i] = old.held[i]
        if states[i] == DEAD:
            continue
        code = dfa_next(d, states[i], letter)
        if code == CODE_NO_MEMORY:
            return STATUS_NO_MEMORY
        states[i] = code & CODE_STATE
        if code & CODE_ACCEPT:
            held[i] = HELD_NOW
    code = dfa_next(d, d.start, letter)
    if code == CODE_NO_MEMORY:
        return STATUS_NO_MEMORY
    if old.n and held[0] == HELD_NOW:
        # The oldest attempt's candidate is this row: everything else lies inside.
        if states[0] == DEAD:
            move.kind = MOVE_WIN
            move.next = CONFIG_EMPTY
            return STATUS_OK
        after.n = 1
        after.state[0] = states[0]
        after.held[0] = HELD_FRONT
        move.next = intern(c, &after, d.stride)
        move.kind = MOVE_FRONT if move.next != CONFIG_UNKNOWN else MOVE_GROUPS
        return STATUS_OK
    # The oldest cohorts that are over now. One with a candidate is reported; what its match covers is known only
    # if the candidate was found as the oldest (then everything still open began later).
    i = 0
    while i < old.n and states[i] == DEAD:
        if held[i] == HELD_FRONT and i == 0:
            move.emit = 1
        elif held[i] != HELD_NOTHING:
            move.kind = MOVE_GROUPS
            return STATUS_OK
        i += 1
    while i < old.n:
        if states[i] == DEAD and held[i] == HELD_NOTHING:
            i += 1
            continue
        k = after.n
        redundant = False
        if held[i] == HELD_NOTHING and not c.within:
            for k in range(after.n):
                if after.state[k] == states[i]:
                    redundant = True
                    break
            k = after.n
        if redundant:
            i += 1
            continue
        if k and after.state[k - 1] == states[i] and held[i] == after.held[k - 1] and states[i] != DEAD and \
                move.last[k - 1] == i - 1 and (held[i] == HELD_NOTHING or held[i] == HELD_NOW):
            move.last[k - 1] = <uint8_t>i
            i += 1
            continue
        after.state[k] = states[i]
        after.held[k] = held[i]
        move.first[k] = <uint8_t>i
        move.last[k] = <uint8_t>i
        move.held[k] = held[i]
        after.n += 1
        i += 1
    # The row as a start of its own.
    if code & (CODE_STATE | CODE_ACCEPT):
        state = code & CODE_STATE
        covered = (code & CODE_ACCEPT) != 0
        k = after.n
        if not covered and not c.within:
            for i in range(k):
                if after.state[i] == state:
                    return finish_move(c, d, old, &after, move)
        if k == 0 and covered and state == DEAD:
            # A match of this one row, with nobody before it.
            move.kind = MOVE_GROUPS if move.emit else MOVE_SINGLE
            move.next = CONFIG_EMPTY
            return STATUS_OK
        if k and state != DEAD and after.state[k - 1] == state and \
                after.held[k - 1] == (HELD_NOW if covered else HELD_NOTHING):
            move.push = 1
            return finish_move(c, d, old, &after, move)
        if k == COHORTS_MAX:
            move.kind = MOVE_GROUPS
            return STATUS_OK
        after.state[k] = state
        after.held[k] = HELD_NOW if covered else HELD_NOTHING
        move.first[k] = NEW_START
        move.last[k] = NEW_START
        move.held[k] = after.held[k]
        after.n += 1
        move.push = 1
    return finish_move(c, d, old, &after, move)


cdef uint32_t cohorts_pop(Cohorts *c, Dfa *d, uint32_t config) noexcept nogil:
    cdef Config *old = &c.configs[config]
    cdef Config after
    cdef uint32_t k
    if old.popped != CONFIG_UNKNOWN:
        return old.popped
    memset(&after, 0, sizeof(Config))
    if old.held[0] != HELD_NOTHING or (old.n > 1 and old.state[1] == DEAD):
        return CONFIG_UNKNOWN
    after.n = old.n - 1
    for k in range(after.n):
        after.state[k] = old.state[k + 1]
        after.held[k] = old.held[k + 1]
    old.popped = intern(c, &after, d.stride)
    return old.popped
