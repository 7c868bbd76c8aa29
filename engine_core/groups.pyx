"""Attempts by groups: the general way in which the attempts of a partition step.

What        attempts in the same automaton state are a group that steps once for all of them; groups that come to the same
            state become one, the smaller hanging under the larger (a tree). See attempts for the whole.
Candidates  a group that ends a match writes the row into its root once; an attempt's candidate is the latest one on its
            way to the root that was written after it came there (`joined`, or its own first row).
Bounds      `thin`; and starts that can no longer be reported are let go when a part's buffer is full.
Cost        one look-up per occupied state and row; a merge is constant time.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from .automaton cimport CODE_ACCEPT, CODE_NO_MEMORY, CODE_STATE, DEAD, dfa_next
from .cohorts cimport COHORTS_MAX, CONFIG_EMPTY, HELD_NOTHING, Config
from .parts cimport (GROUP_BARE, GROUP_RESOLVED, GROUP_SEEN, NO_CANDIDATE, NO_GROUP, Attempts, Group, Part, Start,
                     candidate_at, cohort_end, copy_words, group_at, group_words, inline_groups, part_at, root_of,
                     start_at, start_words, starts_grow)
from .status cimport STATUS_NO_MEMORY, STATUS_OK
from .words cimport values_free, values_read


cdef int64_t candidate_of(const Attempts *a, const Part *p, const Start *s, Group **where) noexcept nogil:
    """The last row of the attempt's best match so far; `where` keeps that row's values."""
    cdef uint32_t i = s.group
    cdef Group *g = group_at(a, p, i)
    cdef int64_t best = NO_CANDIDATE, since
    if g.candidate >= s.sequence:
        best = g.candidate
        where[0] = g
    while g.parent != NO_GROUP:
        since = g.joined
        g = group_at(a, p, g.parent)
        if g.candidate > since and g.candidate >= s.sequence:
            best = g.candidate
            where[0] = g
    return best


cdef int group_new(Attempts *a, Part *p, uint32_t state, uint32_t *out) noexcept nogil:
    cdef uint32_t i, room
    cdef uint8_t *groups
    cdef uint32_t *roots
    cdef Group *g
    for i in range(p.cold.n_groups):
        if group_at(a, p, i).references == 0:
            break
    else:
        i = p.cold.n_groups
    if i == p.cold.groups_room:
        room = 2 * p.cold.groups_room
        groups = <uint8_t *>malloc(room * a.group_stride)
        roots = <uint32_t *>malloc(room * sizeof(uint32_t))
        if groups == NULL or roots == NULL:
            free(groups)
            free(roots)
            return STATUS_NO_MEMORY
        memcpy(groups, p.cold.groups, p.cold.n_groups * a.group_stride)
        memcpy(roots, p.cold.roots, p.cold.n_roots * sizeof(uint32_t))
        if p.cold.groups != inline_groups(a, p):
            a.grown -= p.cold.groups_room * (a.group_stride + <int64_t>sizeof(uint32_t))
            free(p.cold.groups)
            free(p.cold.roots)
        a.grown += room * (a.group_stride + <int64_t>sizeof(uint32_t))
        p.cold.groups = groups
        p.cold.roots = roots
        p.cold.groups_room = room
    if i == p.cold.n_groups:
        p.cold.n_groups += 1
    g = group_at(a, p, i)
    g.state = state
    g.parent = NO_GROUP
    g.references = 0
    g.members = 0
    g.candidate = NO_CANDIDATE
    g.joined = 0
    g.flags = 0
    out[0] = i
    return STATUS_OK


cdef void root_remove(Part *p, uint32_t group) noexcept nogil:
    cdef uint32_t i
    for i in range(p.cold.n_roots):
        if p.cold.roots[i] == group:
            p.cold.n_roots -= 1
            p.cold.roots[i] = p.cold.roots[p.cold.n_roots]
            return


cdef void group_unref(Attempts *a, Part *p, uint32_t group) noexcept nogil:
    """One reference less; an unused group is free for another use."""
    cdef Group *g = group_at(a, p, group)
    cdef uint32_t parent
    while True:
        g.references -= 1
        if g.references:
            return
        if a.n_end_values and g.candidate != NO_CANDIDATE:
            values_free(a.end_values, a.n_end_values, group_words(g))
        g.candidate = NO_CANDIDATE
        parent = g.parent
        if parent == NO_GROUP:
            if g.flags & GROUP_RESOLVED == 0:
                root_remove(p, group)
            return
        group = parent
        g = group_at(a, p, group)


cdef int set_candidate(Attempts *a, Group *g, int64_t sequence) noexcept nogil:
    cdef uint64_t *words
    if a.n_end_values:
        words = group_words(g)
        if g.candidate != NO_CANDIDATE:
            values_free(a.end_values, a.n_end_values, words)
        g.candidate = sequence
        return values_read(a.end_values, a.n_end_values, a.columns, a.row, words)
    g.candidate = sequence
    return STATUS_OK


cdef void start_free(Attempts *a, Part *p, Start *s) noexcept nogil:
    """An attempt leaves its group (its place in `starts` is the caller's)."""
    if a.n_start_values:
        values_free(a.start_values, a.n_start_values, start_words(s))
    if s.group != NO_GROUP:
        group_at(a, p, root_of(a, p, s.group)).members -= 1
        group_unref(a, p, s.group)


cdef int start_room(Attempts *a, Part *p) noexcept nogil:
    """Room for one more attempt behind the youngest."""
    cdef Start *s
    cdef uint32_t i, k, n, counted
    cdef Group *where = NULL
    if p.tail == p.starts_room and not p.grouped:
        if p.head and 2 * (p.tail - p.head) <= p.starts_room:
            copy_words(<uint64_t *>p.starts, <uint64_t *>start_at(a, p, p.head),
                       (p.tail - p.head) * a.start_stride // 8)
            for i in range(COHORTS_MAX):
                p.begin[i] -= p.head
            p.tail -= p.head
            p.head = 0
            return STATUS_OK
        return starts_grow(a, p)
    if p.tail == p.starts_room:
        # First let go of what cannot be reported any more: holes, and under SKIP PAST LAST ROW the ends without a match.
        k = 0
        counted = 0
        for i in range(p.head, p.tail):
            s = start_at(a, p, i)
            if i == p.cold.counted:
                counted = k
            if s.group == NO_GROUP:
                continue
            if not a.dfa.start_accept and \
                    group_at(a, p, root_of(a, p, s.group)).flags & GROUP_RESOLVED and \
                    candidate_of(a, p, s, &where) == NO_CANDIDATE:
                start_free(a, p, s)
                continue
            if k != i:
                memcpy(start_at(a, p, k), s, a.start_stride)
            k += 1
        n = p.tail - p.head
        a.n_open -= n - k
        p.cold.counted = counted if p.cold.counted < p.tail else k
        p.head = 0
        p.tail = k
        if 2 * k >= p.starts_room:
            return starts_grow(a, p)
    return STATUS_OK


cdef int start_push(Attempts *a, Part *p, int64_t sequence, int64_t time, uint32_t group) noexcept nogil:
    cdef Start *s
    if p.tail == p.starts_room:
        # The group must outlive the clean-up although nobody is in it yet.
        group_at(a, p, group).references += 1
        if start_room(a, p) != STATUS_OK:
            return STATUS_NO_MEMORY
        group_at(a, p, group).references -= 1
    s = start_at(a, p, p.tail)
    s.sequence = sequence
    s.time = time
    s.group = group
    group_at(a, p, group).references += 1
    group_at(a, p, root_of(a, p, group)).members += 1
    p.tail += 1
    a.n_open += 1
    if a.n_start_values:
        return values_read(a.start_values, a.n_start_values, a.columns, a.row, start_words(s))
    return STATUS_OK


cdef int part_group(Attempts *a, Part *p) noexcept nogil:
    """From cohorts to groups: each cohort is one; cohorts in the same state hang under one root."""
    cdef Config *config = &a.cohorts.configs[p.config]
    cdef uint32_t i, k, group = 0, root, n = config.n
    cdef Group *g
    cdef int64_t *candidate
    cdef int64_t newest = start_at(a, p, p.tail - 1).sequence if p.tail > p.head else 0
    for k in range(n):
        if group_new(a, p, config.state[k], &group) != STATUS_OK:
            return STATUS_NO_MEMORY
        g = group_at(a, p, group)
        g.references = 1            # taken; counted anew below
        if config.held[k] != HELD_NOTHING:
            candidate = candidate_at(a, p, k)
            g.candidate = candidate[0]
            if candidate[0] > newest:
                newest = candidate[0]
            if a.n_end_values:
                memcpy(group_words(g), candidate + 1, 8 * (1 + a.n_end_values))
        else:
            g.flags = GROUP_BARE
        for i in range(p.begin[k], cohort_end(a, p, k)):
            start_at(a, p, i).group = group
            g.references += 1
            g.members += 1
        g.references -= 1
    for k in range(n):
        g = group_at(a, p, k)
        if config.state[k] == DEAD:
            g.flags |= GROUP_RESOLVED
            continue
        for i in range(p.cold.n_roots):
            root = p.cold.roots[i]
            if group_at(a, p, root).state == g.state:
                g.parent = root
                g.joined = newest   # nothing that the root has found so far is this one's
                group_at(a, p, root).references += 1
                group_at(a, p, root).members += g.members
                group_at(a, p, root).flags |= g.flags & GROUP_BARE
                break
        else:
            p.cold.roots[p.cold.n_roots] = k
            p.cold.n_roots += 1
    p.grouped = True
    p.config = CONFIG_EMPTY
    return STATUS_OK


cdef int attempts_group(Attempts *a) noexcept nogil:
    cdef uint32_t i
    cdef Part *p
    cdef int status
    for i in range(a.n_parts):
        p = part_at(a, i)
        if p.head < p.tail and not p.grouped:
            status = part_group(a, p)
            if status != STATUS_OK:
                return status
    return STATUS_OK


cdef int groups_step(Attempts *a, Part *p, int64_t sequence, uint32_t letter, uint32_t *resolved,
                     bint *bare_merged) noexcept nogil:
    """Every occupied state reads the row; `resolved` = attempts whose end that is; `bare_merged`: see `thin`."""
    cdef uint32_t i = 0, k, x, y, code
    cdef Group *g
    cdef Group *h
    while i < p.cold.n_roots:
        g = group_at(a, p, p.cold.roots[i])
        code = dfa_next(&a.dfa, g.state, letter)
        if code == CODE_NO_MEMORY:
            return STATUS_NO_MEMORY
        g.state = code & CODE_STATE
        if code & CODE_ACCEPT:
            p.held = True
            g.flags &= ~<uint32_t>GROUP_BARE
            if set_candidate(a, g, sequence) != STATUS_OK:
                return STATUS_NO_MEMORY
        if g.state == DEAD:
            g.flags |= GROUP_RESOLVED
            resolved[0] += g.members
            p.cold.n_roots -= 1
            p.cold.roots[i] = p.cold.roots[p.cold.n_roots]
            continue
        i += 1
    # Groups that came to the same state are one from here on; the smaller hangs under the larger.
    i = 0
    while i + 1 < p.cold.n_roots:
        k = i + 1
        while k < p.cold.n_roots:
            x = p.cold.roots[i]
            y = p.cold.roots[k]
            g = group_at(a, p, x)
            h = group_at(a, p, y)
            if g.state != h.state:
                k += 1
                continue
            if h.members > g.members:
                p.cold.roots[i] = y
                x, y = y, x
                g, h = h, g
            if (g.flags | h.flags) & GROUP_BARE:
                g.flags |= GROUP_BARE
                bare_merged[0] = True
            h.parent = x
            h.joined = sequence
            g.members += h.members
            g.references += 1
            p.cold.n_roots -= 1
            p.cold.roots[k] = p.cold.roots[p.cold.n_roots]
        i += 1
    return STATUS_OK


cdef void thin(Attempts *a, Part *p) noexcept nogil:
    """Without WITHIN, under SKIP PAST LAST ROW: of attempts in one state, a younger one without a candidate of its own can
    never be reported (it is covered, or ends with nothing, whenever the older one ends), so it goes. GROUP_BARE marks
    the roots that may have an attempt without a candidate; it is looked for only when such a group merges."""
    cdef uint32_t i, n = p.head
    cdef Start *s
    cdef Group *root
    cdef Group *where = NULL
    for i in range(p.head, p.tail):
        s = start_at(a, p, i)
        root = group_at(a, p, root_of(a, p, s.group))
        if root.flags & GROUP_SEEN and root.flags & GROUP_RESOLVED == 0 and \
                candidate_of(a, p, s, &where) == NO_CANDIDATE:
            start_free(a, p, s)
            a.n_open -= 1
            continue
        root.flags |= GROUP_SEEN
        if n != i:
            memcpy(start_at(a, p, n), s, a.start_stride)
        n += 1
    p.tail = n
    for i in range(p.cold.n_roots):
        group_at(a, p, p.cold.roots[i]).flags &= ~<uint32_t>GROUP_SEEN


cdef int start_new(Attempts *a, Part *p, int64_t sequence, int64_t time, uint32_t code,
                   uint32_t *resolved) noexcept nogil:
    """The row as the first row of an attempt, whose first transition is `code`."""
    cdef uint32_t state = code & CODE_STATE, i, root = NO_GROUP, group
    cdef bint accept = (code & CODE_ACCEPT) != 0
    cdef Group *g
    if state != DEAD:
        for i in range(p.cold.n_roots):
            if group_at(a, p, p.cold.roots[i]).state == state:
                root = p.cold.roots[i]
                break
    if root != NO_GROUP:
        g = group_at(a, p, root)
        if not a.overlapping and not a.within and not accept and not a.dfa.start_accept:
            return STATUS_OK        # see `thin`
        if accept == (g.candidate == sequence):
            return start_push(a, p, sequence, time, root)
    if group_new(a, p, state, &group) != STATUS_OK:
        return STATUS_NO_MEMORY
    g = group_at(a, p, group)
    if a.dfa.start_accept:
        p.held = True               # an empty match, if nothing else
    if not accept:
        g.flags = GROUP_BARE
    else:
        p.held = True
        if set_candidate(a, g, sequence) != STATUS_OK:
            return STATUS_NO_MEMORY
    if state == DEAD:
        g.flags |= GROUP_RESOLVED
        resolved[0] += 1
    elif root != NO_GROUP:
        g.parent = root
        g.joined = sequence
        group_at(a, p, root).references += 1
    else:
        p.cold.roots[p.cold.n_roots] = group
        p.cold.n_roots += 1
    return start_push(a, p, sequence, time, group)
