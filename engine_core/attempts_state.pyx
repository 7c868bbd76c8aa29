"""Saving and restoring the open attempts of a matcher.

What        everything that the future matches depend on, and nothing that the plan or the automaton's cache can give
            again: a state is saved as its list of positions, a letter as its mask.
Order       partitions by number, so that equal states give equal bytes whatever their history.
Trust       the bytes may come from anywhere: counts are bounded by the bytes that are left, every number is checked
            before it is used as an index, and the trees of groups must be trees.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from .groups cimport attempts_group, group_new
from .parts cimport (GROUP_BARE, GROUP_RESOLVED, NO_CANDIDATE, NO_GROUP, Attempts, Group, Part, Start, part_at, part_new,
                     record_room)
from .timers cimport attempts_arm
from .automaton cimport CODE_NO_MEMORY, DEAD, State, dfa_intern, dfa_letter
from .blob cimport Blob, Reader, blob_i64, blob_put, reader_count, reader_i64, reader_take
from .measure cimport Record, record_values
from .registers cimport TYPE_STR
from .words cimport ValueColumn, word_bytes, word_text, word_view
from .status cimport STATUS_NO_MEMORY, STATUS_OK, STATUS_STATE


# ---------------------------------------------------------------- values

cdef void save_values(Blob *b, const ValueColumn *values, int n, const uint64_t *words) noexcept nogil:
    cdef int i
    cdef const uint8_t *data
    cdef int64_t size
    if n == 0:
        return
    blob_put(b, words, 8)
    for i in range(n):
        if values[i].type == TYPE_STR:
            word_view(&words[1 + i], &data, &size)
            blob_i64(b, size)
            blob_put(b, data, size)
        else:
            blob_put(b, &words[1 + i], 8)


cdef int restore_values(Reader *r, const ValueColumn *values, int n, uint64_t *words) noexcept nogil:
    """`words` is zeroed by the caller, so that it can be freed whatever happens here."""
    cdef int i
    cdef int64_t size
    if n == 0:
        return STATUS_OK
    reader_take(r, words, 8)
    for i in range(n):
        if values[i].type == TYPE_STR:
            size = reader_count(r, 1)
            if r.failed:
                return STATUS_STATE
            if word_text(r.data + r.at, size, &words[1 + i]) != STATUS_OK:
                return STATUS_NO_MEMORY
            (<ValueColumn *>values)[i].held += word_bytes(words[1 + i])
            r.at += size
        else:
            reader_take(r, &words[1 + i], 8)
    return STATUS_STATE if r.failed else STATUS_OK


# ---------------------------------------------------------------- save

cdef void save_part(const Attempts *a, const Part *p, Blob *b) noexcept nogil:
    cdef uint32_t i
    cdef int64_t k
    cdef const Group *g
    cdef const Start *s
    cdef const Record *rec
    cdef const State *state
    blob_i64(b, p.partition)
    blob_i64(b, p.held)
    blob_i64(b, p.cold.n_groups)
    for i in range(p.cold.n_groups):
        g = <const Group *>(p.cold.groups + i * a.group_stride)
        blob_i64(b, g.references)       # 0: a free place, nothing follows
        if g.references == 0:
            continue
        blob_i64(b, g.parent)
        blob_i64(b, g.candidate)
        blob_i64(b, g.joined)
        blob_i64(b, g.flags)
        state = &a.dfa.states[g.state if g.parent == NO_GROUP else DEAD]
        blob_i64(b, state.count)
        blob_put(b, a.dfa.lists + state.begin, state.count * 4)
        if g.candidate != NO_CANDIDATE:
            save_values(b, a.end_values, a.n_end_values, <const uint64_t *>(<const uint8_t *>g + sizeof(Group)))
    blob_i64(b, p.tail - p.head)
    for i in range(p.head, p.tail):
        s = <const Start *>(p.starts + i * a.start_stride)
        blob_i64(b, s.sequence)
        blob_i64(b, s.time)
        blob_i64(b, s.group)
        save_values(b, a.start_values, a.n_start_values, <const uint64_t *>(<const uint8_t *>s + sizeof(Start)))
        if a.overlapping and a.numbered:
            blob_put(b, <const uint8_t *>s + a.start_stride - 8, 8)
    if a.overlapping and a.numbered:
        blob_i64(b, p.cold.counted - p.head)
    blob_i64(b, p.record_tail - p.record_head)
    for k in range(p.record_head, p.record_tail):
        rec = <const Record *>(p.records + k * a.measures.record_stride)
        blob_i64(b, rec.sequence)
        blob_i64(b, <int64_t>(rec.letter if a.dfa.dense else a.dfa.letters[rec.letter]))
        save_values(b, a.measures.row_values, a.measures.n_row_values, record_values(rec))


cdef inline bint has_attempts(const Attempts *a, int64_t partition) noexcept nogil:
    """Whether there is anything to save: an empty part may still wait for the sweep."""
    cdef const Part *p
    if a.part_of[partition] == 0:
        return False
    p = part_at(a, a.part_of[partition] - 1)
    return p.head != p.tail


cdef int attempts_save(Attempts *a, Blob *b) noexcept nogil:
    cdef int64_t i, n = 0
    cdef int64_t n_partitions = a.keys.count
    cdef int status = attempts_group(a)     # which way a part is stepped is no part of the state
    if status != STATUS_OK:
        return status
    for i in range(n_partitions):
        n += has_attempts(a, i)
    blob_i64(b, n)
    for i in range(n_partitions):
        if has_attempts(a, i):
            save_part(a, part_at(a, a.part_of[i] - 1), b)
    if a.numbered:
        blob_put(b, a.match_numbers, 8 * n_partitions)
    return STATUS_NO_MEMORY if b.failed else STATUS_OK


# ---------------------------------------------------------------- restore

cdef int restore_state(Attempts *a, Reader *r, uint32_t *out) noexcept nogil:
    """A list of distinct positions -> the number of its state."""
    cdef int64_t count = reader_count(r, 4), i
    cdef int32_t *list
    cdef int32_t position
    if r.failed or count > a.dfa.nfa.n_positions:
        return STATUS_STATE
    list = <int32_t *>malloc((count + 1) * 4)
    if list == NULL:
        return STATUS_NO_MEMORY
    reader_take(r, list, count * 4)
    a.dfa.stamp_now += 1
    if a.dfa.stamp_now == 0:
        memset(a.dfa.stamp, 0, a.dfa.nfa.n_positions * 4)
        a.dfa.stamp_now = 1
    for i in range(count):
        position = list[i]
        if position < 0 or position >= a.dfa.nfa.n_positions or a.dfa.stamp[position] == a.dfa.stamp_now:
            free(list)
            return STATUS_STATE
        a.dfa.stamp[position] = a.dfa.stamp_now
    out[0] = dfa_intern(&a.dfa, list, count)
    free(list)
    return STATUS_NO_MEMORY if out[0] == CODE_NO_MEMORY else STATUS_OK


cdef int restore_groups(Attempts *a, Part *p, Reader *r) noexcept nogil:
    cdef int64_t n = reader_count(r, 8), i, references
    cdef int64_t parent
    cdef uint32_t number = 0, state = 0
    cdef Group *g
    cdef int status
    for i in range(n):
        # Places are taken one after the other; a free one is kept by a mark until all are read.
        if group_new(a, p, DEAD, &number) != STATUS_OK:
            return STATUS_NO_MEMORY
        g = <Group *>(p.cold.groups + number * a.group_stride)
        if a.n_end_values:
            memset(<uint8_t *>g + sizeof(Group), 0, 8 * (1 + a.n_end_values))
        g.references = 1
        references = reader_i64(r)
        if references == 0:
            g.flags = GROUP_RESOLVED
            g.unused = 1
            continue
        g.unused = 0
        parent = reader_i64(r)
        if parent != <int64_t>NO_GROUP and (parent < 0 or parent >= n or parent == i):
            return STATUS_STATE
        g.parent = <uint32_t>parent
        g.candidate = reader_i64(r)
        g.joined = reader_i64(r)
        g.flags = <uint32_t>(reader_i64(r) & (GROUP_RESOLVED | GROUP_BARE))
        if r.failed or g.candidate < NO_CANDIDATE:
            g.candidate = NO_CANDIDATE
            return STATUS_STATE
        status = restore_state(a, r, &state)
        if status != STATUS_OK:
            g.candidate = NO_CANDIDATE
            return status
        g.state = state
        if g.candidate != NO_CANDIDATE:
            status = restore_values(r, a.end_values, a.n_end_values, <uint64_t *>(<uint8_t *>g + sizeof(Group)))
            if status != STATUS_OK:
                return status
    return STATUS_STATE if r.failed else STATUS_OK


cdef int check_trees(Attempts *a, Part *p) noexcept nogil:
    """Lists the roots; refuses cycles, parents that are free places, and live roots without threads."""
    cdef uint32_t i, at, steps
    cdef Group *g
    for i in range(p.cold.n_groups):
        (<Group *>(p.cold.groups + i * a.group_stride)).references = 0
    for i in range(p.cold.n_groups):
        g = <Group *>(p.cold.groups + i * a.group_stride)
        if g.unused:
            continue
        if g.parent != NO_GROUP:
            if (<Group *>(p.cold.groups + g.parent * a.group_stride)).unused:
                return STATUS_STATE
            (<Group *>(p.cold.groups + g.parent * a.group_stride)).references += 1
        elif g.flags & GROUP_RESOLVED == 0:
            if g.state == DEAD:
                return STATUS_STATE
            p.cold.roots[p.cold.n_roots] = i
            p.cold.n_roots += 1
        steps = 0
        at = i
        while (<Group *>(p.cold.groups + at * a.group_stride)).parent != NO_GROUP:
            at = (<Group *>(p.cold.groups + at * a.group_stride)).parent
            steps += 1
            if steps > p.cold.n_groups:
                return STATUS_STATE
    return STATUS_OK


cdef int count_members(Attempts *a, Part *p) noexcept nogil:
    """References and members from the starts; refuses groups that nobody is in."""
    cdef uint32_t i, at
    cdef Group *g
    cdef Start *s
    for i in range(p.head, p.tail):
        s = <Start *>(p.starts + i * a.start_stride)
        if s.group == NO_GROUP:
            continue
        at = s.group
        (<Group *>(p.cold.groups + at * a.group_stride)).references += 1
        while (<Group *>(p.cold.groups + at * a.group_stride)).parent != NO_GROUP:
            at = (<Group *>(p.cold.groups + at * a.group_stride)).parent
        (<Group *>(p.cold.groups + at * a.group_stride)).members += 1
    for i in range(p.cold.n_groups):
        g = <Group *>(p.cold.groups + i * a.group_stride)
        if not g.unused and (g.references == 0 or (g.parent == NO_GROUP and g.members == 0)):
            return STATUS_STATE
        g.unused = 0
    return STATUS_OK


cdef int restore_part(Attempts *a, Reader *r, int64_t n_partitions, int64_t next_sequence) noexcept nogil:
    cdef int64_t partition = reader_i64(r), n, k, previous = -1, mask, _i
    cdef Part *p = NULL
    cdef Start *s
    cdef Record *rec
    cdef uint32_t letter
    cdef uint8_t *starts
    cdef int status
    if r.failed or partition < 0 or partition >= n_partitions or a.part_of[partition]:
        return STATUS_STATE
    if part_new(a, <uint32_t>partition, &p) != STATUS_OK:
        return STATUS_NO_MEMORY
    p.grouped = True
    p.held = reader_i64(r) != 0
    status = restore_groups(a, p, r)
    if status == STATUS_OK:
        status = check_trees(a, p)
    if status != STATUS_OK:
        return status
    n = reader_count(r, 24)
    if r.failed or n == 0 or n >= <int64_t>NO_GROUP:
        return STATUS_STATE
    if n > p.starts_room:
        starts = <uint8_t *>malloc(n * a.start_stride)
        if starts == NULL:
            return STATUS_NO_MEMORY
        if p.starts != <uint8_t *>p + sizeof(Part):
            a.grown -= p.starts_room * a.start_stride
            free(p.starts)
        a.grown += n * a.start_stride
        p.starts = starts
        p.starts_room = <uint32_t>n
    for _i in range(n):
        s = <Start *>(p.starts + p.tail * a.start_stride)
        s.sequence = reader_i64(r)
        s.time = reader_i64(r)
        s.group = <uint32_t>reader_i64(r)
        s.unused = 0
        if a.n_start_values:
            memset(<uint8_t *>s + sizeof(Start), 0, 8 * (1 + a.n_start_values))
        p.tail += 1
        a.n_open += 1
        if r.failed or s.sequence <= previous or s.sequence >= next_sequence:
            return STATUS_STATE
        if s.group == NO_GROUP:
            if not a.overlapping:
                return STATUS_STATE
        elif s.group >= p.cold.n_groups or (<Group *>(p.cold.groups + s.group * a.group_stride)).unused:
            return STATUS_STATE
        previous = s.sequence
        status = restore_values(r, a.start_values, a.n_start_values, <uint64_t *>(<uint8_t *>s + sizeof(Start)))
        if status != STATUS_OK:
            return status
        if a.overlapping and a.numbered:
            reader_take(r, <uint8_t *>s + a.start_stride - 8, 8)
    if a.overlapping and a.numbered:
        k = reader_i64(r)
        if r.failed or k < 0 or k > n:
            return STATUS_STATE
        p.cold.counted = <uint32_t>k
    status = count_members(a, p)
    if status != STATUS_OK:
        return status
    n = reader_count(r, 16)
    if r.failed or (n and not a.measures.labelled):
        return STATUS_STATE
    previous = -1
    for _i in range(n):
        if record_room(a, p) != STATUS_OK:
            return STATUS_NO_MEMORY
        rec = <Record *>(p.records + p.record_tail * a.measures.record_stride)
        rec.sequence = reader_i64(r)
        mask = reader_i64(r)
        memset(record_values(rec), 0, 8 * (1 + a.measures.n_row_values))
        p.record_tail += 1
        if r.failed or rec.sequence <= previous or rec.sequence >= next_sequence:
            return STATUS_STATE
        previous = rec.sequence
        if a.dfa.dense:
            if mask < 0 or mask >= a.dfa.stride:
                return STATUS_STATE
            rec.letter = <uint32_t>mask
        else:
            letter = dfa_letter(&a.dfa, <uint64_t>mask)
            if letter == CODE_NO_MEMORY:
                return STATUS_NO_MEMORY
            rec.letter = letter
        status = restore_values(r, a.measures.row_values, a.measures.n_row_values, record_values(rec))
        if status != STATUS_OK:
            return status
    return attempts_arm(a, p)


cdef int attempts_restore(Attempts *a, Reader *r, int64_t n_partitions, int64_t next_sequence) noexcept nogil:
    """Fills fresh Attempts (reserved for n_partitions); on a failure the caller throws them away."""
    cdef int64_t n = reader_count(r, 40), _i
    cdef int status
    if r.failed:
        return STATUS_STATE
    for _i in range(n):
        status = restore_part(a, r, n_partitions, next_sequence)
        if status != STATUS_OK:
            return status
    if a.numbered:
        reader_take(r, a.match_numbers, 8 * n_partitions)
    return STATUS_STATE if r.failed else STATUS_OK
