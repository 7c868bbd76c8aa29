"""The automaton of a row pattern: ordered thread lists, built on demand and cached.

What        The conditions of a row are one mask, the row's letter; a pattern whose conditions read single rows is
            then a regular expression over masks. A state is the ordered list of positions at which one attempt (one
            start row) may stand, most preferred first; a match found cuts all that is less preferred. So the SQL preference
            (greedy, reluctant, alternatives from left to right) is the order of the list.
Flow        dfa_next(state, letter) -> code: the next state, and whether the row just read ends a match (ACCEPT),
            and whether that match is already certain (FINAL: the list holds nothing else).
Labels      a transition also keeps, per thread, which thread of the state before it came from. Walking those
            back from the end of a match tells the variable of each row, at two table look-ups per row.
Bounds      the cache holds at most STATES_MAX states or CACHE_BYTES; then the matcher lets dfa_shrink drop what
            no attempt stands in. Time per row stays bounded by the pattern whatever the data: `(A+)+ B` has four states.
Letters     up to 8 conditions: the mask itself indexes a table; beyond that masks are numbered as they appear and
            transitions hang in a hash table.
Source      lists of threads with preference: Pike's and Thompson's simulation as in RE2 and rust-regex; lazy states: RE2;
            preferment: ISO/IEC 19075-5, 7.2. Positions without epsilon moves: Glushkov 1961.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from .hash cimport hash_bytes, hash_u64
from .status cimport STATUS_NO_MEMORY, STATUS_OK

cdef enum:
    STATES_MAX = 16384
    EXPLORE_MAX = 512           # states up to which all transitions are worked out beforehand
    CACHE_BYTES = 134217728


# ---------------------------------------------------------------- kernel

cdef int dfa_init(Dfa *d, const Nfa *nfa, bint track_parents) noexcept nogil:
    cdef const int32_t *first = nfa.follow + nfa.follow_begin[nfa.n_positions]
    cdef int64_t n = nfa.follow_begin[nfa.n_positions + 1] - nfa.follow_begin[nfa.n_positions]
    memset(d, 0, sizeof(Dfa))
    d.nfa = nfa
    d.track_parents = track_parents
    d.dense = nfa.n_conditions <= DENSE_CONDITIONS
    d.stride = 1 << nfa.n_conditions if d.dense else 0
    d.stamp = <uint32_t *>calloc(nfa.n_positions + 1, sizeof(uint32_t))
    d.scratch = <int32_t *>malloc((nfa.n_positions + 1) * sizeof(int32_t))
    d.scratch_parent = <uint32_t *>malloc((nfa.n_positions + 1) * sizeof(uint32_t))
    if d.stamp == NULL or d.scratch == NULL or d.scratch_parent == NULL:
        return STATUS_NO_MEMORY
    if dfa_intern(d, NULL, 0) != DEAD:
        return STATUS_NO_MEMORY
    d.start_accept = n > 0 and first[n - 1] == NFA_MATCH
    if d.start_accept:
        n -= 1
    d.start_final = d.start_accept and n == 0
    d.start = dfa_intern(d, first, n)
    return STATUS_OK if d.start != CODE_NO_MEMORY else STATUS_NO_MEMORY


cdef void dfa_free(Dfa *d) noexcept nogil:
    free(d.states)
    free(d.lists)
    free(d.intern)
    free(d.next)
    free(d.parents)
    free(d.sparse)
    free(d.parent_lists)
    free(d.letters)
    free(d.letter_intern)
    free(d.stamp)
    free(d.scratch)
    free(d.scratch_parent)
    memset(d, 0, sizeof(Dfa))


cdef inline uint64_t list_hash(const int32_t *list, int64_t count) noexcept nogil:
    return hash_bytes(<const uint8_t *>list, count * 4, 0)


cdef int intern_grow(Dfa *d) noexcept nogil:
    cdef int64_t room = d.intern_room * 2 if d.intern_room else 64
    cdef uint32_t *table = <uint32_t *>calloc(room, sizeof(uint32_t))
    cdef uint32_t i
    cdef int64_t at
    cdef State *s
    if table == NULL:
        return STATUS_NO_MEMORY
    for i in range(d.n_states):
        s = &d.states[i]
        at = <int64_t>(list_hash(d.lists + s.begin, s.count) & <uint64_t>(room - 1))
        while table[at]:
            at = (at + 1) & (room - 1)
        table[at] = i + 1
    free(d.intern)
    d.intern = table
    d.intern_room = room
    return STATUS_OK


cdef int states_grow(Dfa *d) noexcept nogil:
    cdef uint32_t room = d.states_room * 2 if d.states_room else 16
    cdef int64_t cells = <int64_t>room * d.stride, i
    cdef void *p = realloc(d.states, room * sizeof(State))
    if p == NULL:
        return STATUS_NO_MEMORY
    d.states = <State *>p
    if d.dense:
        p = realloc(d.next, cells * sizeof(uint32_t))
        if p == NULL:
            return STATUS_NO_MEMORY
        d.next = <uint32_t *>p
        for i in range(<int64_t>d.states_room * d.stride, cells):
            d.next[i] = CODE_UNKNOWN
        if d.track_parents:
            p = realloc(d.parents, cells * sizeof(int64_t))
            if p == NULL:
                return STATUS_NO_MEMORY
            d.parents = <int64_t *>p
    d.states_room = room
    return STATUS_OK


cdef uint32_t dfa_intern(Dfa *d, const int32_t *list, int64_t count) noexcept nogil:
    """The number of the state with this list; CODE_NO_MEMORY."""
    cdef int64_t at, room
    cdef uint32_t i
    cdef State *s
    cdef void *p
    if 2 * (<int64_t>d.n_states + 1) >= d.intern_room and intern_grow(d) != STATUS_OK:
        return CODE_NO_MEMORY
    at = <int64_t>(list_hash(list, count) & <uint64_t>(d.intern_room - 1))
    while d.intern[at]:
        i = d.intern[at] - 1
        s = &d.states[i]
        if s.count == count and (count == 0 or memcmp(d.lists + s.begin, list, count * 4) == 0):
            return i
        at = (at + 1) & (d.intern_room - 1)
    if d.n_states == d.states_room and states_grow(d) != STATUS_OK:
        return CODE_NO_MEMORY
    if d.lists_used + count > d.lists_room:
        room = 2 * (d.lists_used + count) + 64
        p = realloc(d.lists, room * sizeof(int32_t))
        if p == NULL:
            return CODE_NO_MEMORY
        d.lists = <int32_t *>p
        d.lists_room = room
    i = d.n_states
    s = &d.states[i]
    s.begin = d.lists_used
    s.count = <uint32_t>count
    if count:
        memcpy(d.lists + s.begin, list, count * 4)
    d.lists_used += count
    d.n_states += 1
    d.intern[at] = i + 1
    return i


cdef uint32_t dfa_letter(Dfa *d, uint64_t mask) noexcept nogil:
    cdef int64_t at, room, i
    cdef uint32_t *table
    cdef void *p
    if 2 * (d.n_letters + 1) >= d.letter_intern_room:
        room = d.letter_intern_room * 2 if d.letter_intern_room else 256
        table = <uint32_t *>calloc(room, sizeof(uint32_t))
        if table == NULL:
            return CODE_NO_MEMORY
        for i in range(d.n_letters):
            at = <int64_t>(hash_u64(d.letters[i], 1) & <uint64_t>(room - 1))
            while table[at]:
                at = (at + 1) & (room - 1)
            table[at] = <uint32_t>(i + 1)
        free(d.letter_intern)
        d.letter_intern = table
        d.letter_intern_room = room
    at = <int64_t>(hash_u64(mask, 1) & <uint64_t>(d.letter_intern_room - 1))
    while d.letter_intern[at]:
        if d.letters[d.letter_intern[at] - 1] == mask:
            return d.letter_intern[at] - 1
        at = (at + 1) & (d.letter_intern_room - 1)
    if d.n_letters == d.letters_room:
        room = d.letters_room * 2 if d.letters_room else 64
        p = realloc(d.letters, room * sizeof(uint64_t))
        if p == NULL:
            return CODE_NO_MEMORY
        d.letters = <uint64_t *>p
        d.letters_room = room
    d.letters[d.n_letters] = mask
    d.n_letters += 1
    d.letter_intern[at] = <uint32_t>d.n_letters
    return <uint32_t>(d.n_letters - 1)


cdef Transition *sparse_find(Dfa *d, uint32_t state, uint32_t letter) noexcept nogil:
    """The transition's cell, or the free cell where it belongs."""
    cdef uint64_t key = ((<uint64_t>state << 32) | letter) + 1
    cdef int64_t at = <int64_t>(hash_u64(key, 2) & <uint64_t>(d.sparse_room - 1))
    while d.sparse[at].key != 0 and d.sparse[at].key != key:
        at = (at + 1) & (d.sparse_room - 1)
    return &d.sparse[at]


cdef int sparse_grow(Dfa *d) noexcept nogil:
    cdef int64_t room = d.sparse_room * 2 if d.sparse_room else 1024, i, old_room = d.sparse_room, at
    cdef Transition *old = d.sparse
    cdef Transition *table = <Transition *>calloc(room, sizeof(Transition))
    if table == NULL:
        return STATUS_NO_MEMORY
    d.sparse = table
    d.sparse_room = room
    for i in range(old_room):
        if old[i].key == 0:
            continue
        at = <int64_t>(hash_u64(old[i].key, 2) & <uint64_t>(room - 1))
        while table[at].key != 0:
            at = (at + 1) & (room - 1)
        table[at] = old[i]
    free(old)
    return STATUS_OK


cdef uint32_t dfa_step(Dfa *d, uint32_t state, uint32_t letter) noexcept nogil:
    cdef const Nfa *nfa = d.nfa
    cdef uint64_t mask = letter if d.dense else d.letters[letter]
    cdef uint32_t i, code, target
    cdef int64_t k, n = 0, room, parents_begin
    cdef int32_t position, after
    cdef bint accept = False
    cdef State *s
    cdef Transition *cell = NULL
    cdef void *p
    if not d.dense:
        if 2 * (d.sparse_used + 1) >= d.sparse_room and sparse_grow(d) != STATUS_OK:
            return CODE_NO_MEMORY
        cell = sparse_find(d, state, letter)
        if cell.key != 0:
            return cell.code
    d.stamp_now += 1
    if d.stamp_now == 0:
        memset(d.stamp, 0, nfa.n_positions * sizeof(uint32_t))
        d.stamp_now = 1
    s = &d.states[state]
    for i in range(s.count):
        position = d.lists[s.begin + i]
        if nfa.condition[position] >= 0 and not (mask >> nfa.condition[position]) & 1:
            continue
        for k in range(nfa.follow_begin[position], nfa.follow_begin[position + 1]):
            after = nfa.follow[k]
            if after == NFA_MATCH:
                d.scratch_parent[n] = i
                accept = True
                break
            if d.stamp[after] != d.stamp_now:
                d.stamp[after] = d.stamp_now
                d.scratch[n] = after
                d.scratch_parent[n] = i
                n += 1
        if accept:
            break
    target = dfa_intern(d, d.scratch, n)
    if target == CODE_NO_MEMORY:
        return CODE_NO_MEMORY
    parents_begin = d.parents_used
    if d.track_parents:
        if d.parents_used + n + 1 > d.parents_room:
            room = 2 * (d.parents_used + n + 1)
            p = realloc(d.parent_lists, room * sizeof(uint32_t))
            if p == NULL:
                return CODE_NO_MEMORY
            d.parent_lists = <uint32_t *>p
            d.parents_room = room
        memcpy(d.parent_lists + d.parents_used, d.scratch_parent, (n + 1) * sizeof(uint32_t))
        d.parents_used += n + 1
    code = target
    if accept:
        code |= <uint32_t>CODE_ACCEPT
        if n == 0:
            code |= <uint32_t>CODE_FINAL
    if d.dense:
        d.next[<int64_t>state * d.stride + letter] = code
        if d.track_parents:
            d.parents[<int64_t>state * d.stride + letter] = parents_begin
    else:
        cell.key = ((<uint64_t>state << 32) | letter) + 1
        cell.code = code
        cell.parents = parents_begin
        d.sparse_used += 1
    return code


cdef int64_t dfa_parents(Dfa *d, uint32_t state, uint32_t letter) noexcept nogil:
    if d.dense:
        return d.parents[<int64_t>state * d.stride + letter]
    return sparse_find(d, state, letter).parents


cdef bint dfa_full(const Dfa *d) noexcept nogil:
    return (d.n_states > STATES_MAX or d.lists_used * 4 + d.parents_used * 4 + d.sparse_used * 24 +
            <int64_t>d.n_states * d.stride * 12 + d.n_letters * 8 > CACHE_BYTES)


cdef int dfa_shrink(Dfa *d, const uint32_t *live, int64_t n, uint32_t *remap) noexcept nogil:
    cdef Dfa fresh
    cdef int64_t i
    cdef uint32_t number
    cdef State *s
    if dfa_init(&fresh, d.nfa, d.track_parents) != STATUS_OK:
        dfa_free(&fresh)
        return STATUS_NO_MEMORY
    for i in range(n):
        s = &d.states[live[i]]
        number = dfa_intern(&fresh, d.lists + s.begin, s.count)
        if number == CODE_NO_MEMORY:
            dfa_free(&fresh)
            return STATUS_NO_MEMORY
        remap[live[i]] = number
    dfa_free(d)
    d[0] = fresh
    return STATUS_OK


cdef int dfa_explore(Dfa *d, uint64_t read_variables, uint8_t *inert) noexcept nogil:
    """Works out every transition of a small automaton, and which letters are inert.

    A letter is inert if it starts no attempt, leaves every state where it is without ending a match, keeps each thread
    its own successor, and takes the row into no variable that a measure reads. inert[letter] = 1 then: such a row may be
    dropped before its partition is looked up. With more than EXPLORE_MAX states no letter is taken to be inert.
    """
    cdef uint32_t state = 1, code, i
    cdef bint start_again = False   # whether an attempt under way can stand in the start state
    cdef int32_t letter
    cdef State *s
    cdef int64_t parents
    memset(inert, 0, d.stride)
    while state < d.n_states:
        if d.n_states > EXPLORE_MAX:
            return STATUS_OK
        for letter in range(d.stride):
            code = dfa_next(d, state, <uint32_t>letter)
            if code == CODE_NO_MEMORY:
                return STATUS_NO_MEMORY
            start_again = start_again or (code & CODE_STATE) == d.start
        state += 1
    if d.start_accept:
        return STATUS_OK            # every row starts an empty match
    for letter in range(d.stride):
        inert[letter] = dfa_next(d, d.start, <uint32_t>letter) == DEAD
        for state in range(1, d.n_states):
            if state == d.start and not start_again:
                continue
            code = dfa_next(d, state, <uint32_t>letter)
            if code != state:       # another state, or the same with a match that now ends here
                inert[letter] = 0
                break
            if not d.track_parents:
                continue
            s = &d.states[state]
            parents = dfa_parents(d, state, <uint32_t>letter)
            for i in range(s.count):
                if d.parent_lists[parents + i] != i or \
                        (read_variables >> d.nfa.variable[d.lists[s.begin + i]]) & 1:
                    inert[letter] = 0
    return STATUS_OK


# ---------------------------------------------------------------- binding

cdef class Automaton:
    """The verified program of a pattern.

    Args:
        positions: the variable number of each position.
        conditions: the condition number of each variable; -1: always true.
        first, follow: positions in order of preference; -1, at the end only, stands for a match.
        n_conditions: how many conditions there are, at most 64.

    Raises:
        ValueError: a number is out of range.
    """

    def __cinit__(self, tuple positions, tuple conditions, tuple first, tuple follow, int n_conditions):
        cdef int64_t total = len(first), at = 0
        cdef int i
        cdef Nfa *nfa = &self.nfa
        if n_conditions < 0 or n_conditions > 64:
            raise ValueError(f"{n_conditions} conditions: at most 64 fit a row's mask")
        if len(follow) != len(positions):
            raise ValueError("follow must have one list per position")
        for after in follow:
            total += len(after)
        nfa.n_positions = len(positions)
        nfa.n_variables = len(conditions)
        nfa.n_conditions = n_conditions
        nfa.variable = <int32_t *>malloc((nfa.n_positions + 1) * sizeof(int32_t))
        nfa.condition = <int32_t *>malloc((nfa.n_positions + 1) * sizeof(int32_t))
        nfa.follow_begin = <int64_t *>malloc((nfa.n_positions + 2) * sizeof(int64_t))
        nfa.follow = <int32_t *>malloc((total + 1) * sizeof(int32_t))
        if nfa.variable == NULL or nfa.condition == NULL or nfa.follow_begin == NULL or nfa.follow == NULL:
            raise MemoryError("no memory for a pattern's automaton")
        for i in range(nfa.n_positions):
            if not 0 <= positions[i] < len(conditions):
                raise ValueError(f"position {i} has no variable {positions[i]}")
            if not -1 <= conditions[positions[i]] < n_conditions:
                raise ValueError(f"variable {positions[i]} has no condition {conditions[positions[i]]}")
            nfa.variable[i] = positions[i]
            nfa.condition[i] = conditions[positions[i]]
        for i in range(nfa.n_positions + 1):
            nfa.follow_begin[i] = at
            after = follow[i] if i < nfa.n_positions else first
            if len(set(after)) != len(after):
                raise ValueError(f"the list behind position {i} names a position twice")
            for k, target in enumerate(after):
                if not (0 <= target < nfa.n_positions or (target == NFA_MATCH and k == len(after) - 1)):
                    raise ValueError(f"no position {target} can follow position {i}")
                nfa.follow[at] = target
                at += 1
        nfa.follow_begin[nfa.n_positions + 1] = at

    def __dealloc__(self):
        free(self.nfa.variable)
        free(self.nfa.condition)
        free(self.nfa.follow_begin)
        free(self.nfa.follow)
