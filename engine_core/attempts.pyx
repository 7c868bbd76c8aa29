"""The open attempts of every partition, and the step that a row makes them take.

What        An attempt is a start row from which a match may still come. All attempts of a partition are simulated
            side by side, each in a state of the automaton. Attempts in the same state have the same future, so they
            form a group that takes one step together: the cost of a row is the number of different states that are
            occupied, not the number of open attempts.
Result      Each attempt ends with the row of its best match so far (its candidate), or none: its group's state has
            no threads left, or only the match itself, or WITHIN closes. Under SKIP PAST LAST ROW the oldest attempt is
            decisive: when it ends with a match, the attempts inside the match fall; when it ends without, the next
            oldest takes over, with what it found meanwhile. So no row is ever read twice.
Drawing     starts (oldest first)    s0   s1   s2   s3          groups    A: state 5 <- s0, s1 (+ B)
                                      |    |    |    |                    B: joined A at row 17 <- s2
                                      A    A    B    C                    C: state 2 <- s3
Candidates  A group that ends a match writes the row into its root once; an attempt's candidate is the latest one on its
            way to the root that was written after it came there (`joined`, or its own first row).
WITHIN      starts are in order of age, so the expired ones are at the front. An attempt with a candidate makes its
            partition set a timer; others are dropped when the partition is touched next (they can yield nothing).
Bounds      without WITHIN and under SKIP PAST LAST ROW a new attempt that joins a group without a candidate of its
            own can never be reported and is not kept, so attempts are at most as many as states and candidates.
Labelled    measures that read more than the first and last row keep a record per row from the oldest attempt on.
Cost        amortised constant per row and occupied state; resolved attempts of SKIP TO NEXT ROW are looked for from
            the newest end, which younger attempts pay for at most once per state.
Source      one run for all starts, states merged: CORE (Bucchi et al., VLDB 2022) has the idea for WITHIN; SQL:2016
            semantics: ISO/IEC 19075-5, 4 and 7.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t, INT64_MAX
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

from .automaton cimport (CODE_ACCEPT, CODE_FINAL, CODE_NO_MEMORY, CODE_STATE, DEAD, dfa_free, dfa_full, dfa_intern,
                         dfa_letter, dfa_next, dfa_shrink, State)
from .cohorts cimport (COHORTS_MAX, CONFIG_EMPTY, CONFIG_UNKNOWN, HELD_NOTHING, HELD_NOW, MOVE_FRONT, MOVE_GENERAL,
                       MOVE_GROUPS, MOVE_JOIN, MOVE_PUSH, MOVE_RESTART, MOVE_SINGLE, MOVE_STAY, MOVE_UNKNOWN, MOVE_WIN, NEW_START, Config,
                       Move, cohorts_free, cohorts_init, cohorts_move, cohorts_pop)
from .expression cimport TYPE_STR
from .column cimport KIND_I64, column_time
from .hash cimport prefetch
from .keymap cimport keymap_free
from .measure cimport Found, Record, measure_emit, record_values
from .words cimport ValueColumn, values_free, values_read
from .status cimport STATUS_NO_MEMORY, STATUS_OK, STATUS_STATE, Fault, fault_set


# ---------------------------------------------------------------- parts and their memory

cdef inline Part *part_at(const Attempts *a, uint32_t number) noexcept nogil:
    return <Part *>(a.blocks[number // PARTS_PER_BLOCK] + (number % PARTS_PER_BLOCK) * a.part_stride)


cdef inline Start *start_at(const Attempts *a, const Part *p, uint32_t i) noexcept nogil:
    return <Start *>(p.starts + i * a.start_stride)


cdef inline Group *group_at(const Attempts *a, const Part *p, uint32_t i) noexcept nogil:
    return <Group *>(p.cold.groups + i * a.group_stride)


cdef inline uint64_t *start_words(const Start *s) noexcept nogil:
    return <uint64_t *>(<uint8_t *>s + sizeof(Start))


cdef inline int64_t *start_number(const Attempts *a, const Start *s) noexcept nogil:
    return <int64_t *>(<uint8_t *>s + a.start_stride - 8)


cdef inline uint64_t *group_words(const Group *g) noexcept nogil:
    return <uint64_t *>(<uint8_t *>g + sizeof(Group))


cdef inline Record *record_at(const Attempts *a, const Part *p, int64_t i) noexcept nogil:
    return <Record *>(p.records + i * a.measures.record_stride)


cdef inline uint8_t *inline_starts(const Part *p) noexcept nogil:
    return <uint8_t *>p + sizeof(Part)


cdef inline uint8_t *inline_groups(const Attempts *a, const Part *p) noexcept nogil:
    return <uint8_t *>p.cold + sizeof(Cold)


cdef inline int64_t *candidate_at(const Attempts *a, const Part *p, uint32_t cohort) noexcept nogil:
    """By cohorts: the row of a cohort's candidate; the row's kept values stand behind it."""
    return <int64_t *>(inline_groups(a, p) + INLINE_GROUPS * a.group_stride + cohort * a.candidate_stride)


cdef inline uint32_t cohort_end(const Attempts *a, const Part *p, uint32_t cohort) noexcept nogil:
    return p.begin[cohort + 1] if cohort + 1 < a.cohorts.configs[p.config].n else p.tail


cdef int attempts_init(Attempts *a) noexcept nogil:
    """Works out the strides; the plan's fields, dfa, cohorts, measures and keys are set by the caller."""
    cdef int i
    a.start_stride = sizeof(Start) + (8 * (1 + a.n_start_values) if a.n_start_values else 0)
    if a.overlapping and a.numbered:
        a.start_stride += 8
    a.group_stride = sizeof(Group) + (8 * (1 + a.n_end_values) if a.n_end_values else 0)
    a.candidate_stride = 8 + (8 * (1 + a.n_end_values) if a.n_end_values else 0)
    a.inline_starts = <int32_t>((PART_BYTES - sizeof(Part)) // a.start_stride)
    if a.inline_starts < 2:
        a.inline_starts = 2
    a.part_stride = sizeof(Part) + a.inline_starts * a.start_stride
    a.cold_stride = sizeof(Cold) + INLINE_GROUPS * a.group_stride
    if a.cohorts.on:
        a.cold_stride += COHORTS_MAX * a.candidate_stride
    for i in range(a.n_start_values):
        a.start_texts = a.start_texts or a.start_values[i].type == TYPE_STR
    for i in range(a.measures.n_row_values):
        a.row_texts = a.row_texts or a.measures.row_values[i].type == TYPE_STR
    a.part_stride = (a.part_stride + 63) // 64 * 64
    a.measures.record_stride = sizeof(Record) + 8 * (1 + a.measures.n_row_values)
    a.scratch = <uint64_t *>calloc(a.n_end_values + a.n_start_values + 2, 8)
    return STATUS_OK if a.scratch != NULL else STATUS_NO_MEMORY


cdef int part_new(Attempts *a, uint32_t partition, Part **out) noexcept nogil:
    cdef uint32_t number, generation
    cdef int64_t room
    cdef Part *p
    cdef void *memory
    if a.free_part:
        number = a.free_part - 1
        p = part_at(a, number)
        a.free_part = p.cold.next_free
    else:
        if a.n_parts == a.n_blocks * PARTS_PER_BLOCK:
            if a.n_blocks == a.blocks_room:
                room = 2 * a.blocks_room + 8
                memory = realloc(a.blocks, room * sizeof(uint8_t *))
                if memory == NULL:
                    return STATUS_NO_MEMORY
                a.blocks = <uint8_t **>memory
                memory = realloc(a.memory, room * sizeof(uint8_t *))
                if memory == NULL:
                    return STATUS_NO_MEMORY
                a.memory = <uint8_t **>memory
                a.blocks_room = room
            memory = calloc(1, PARTS_PER_BLOCK * (a.part_stride + a.cold_stride) + 64)
            if memory == NULL:
                return STATUS_NO_MEMORY
            a.memory[a.n_blocks] = <uint8_t *>memory
            # PERF: a part begins on a cache line, so that its first line holds all that most steps read.
            a.blocks[a.n_blocks] = <uint8_t *>((<uint64_t>memory + 63) & ~<uint64_t>63)
            a.n_blocks += 1
        number = a.n_parts
        a.n_parts += 1
        p = part_at(a, number)
        p.cold = <Cold *>(a.blocks[number // PARTS_PER_BLOCK] + PARTS_PER_BLOCK * a.part_stride +
                          (number % PARTS_PER_BLOCK) * a.cold_stride)
        p.starts = inline_starts(p)
        p.starts_room = a.inline_starts
        p.cold.groups = inline_groups(a, p)
        p.cold.roots = p.cold.inline_roots
        p.cold.groups_room = INLINE_GROUPS
    p.partition = partition
    p.cold.next_free = 0
    p.config = CONFIG_EMPTY
    p.grouped = not a.cohorts.on
    a.part_of[partition] = number + 1
    out[0] = p
    return STATUS_OK


cdef void part_clear(Attempts *a, Part *p) noexcept nogil:
    """Drops every attempt, group and record; the buffers stay."""
    cdef uint32_t i
    cdef int64_t k
    if a.start_texts:
        for i in range(p.head, p.tail):
            values_free(a.start_values, a.n_start_values, start_words(start_at(a, p, i)))
    if a.n_end_values and not p.grouped:
        for i in range(a.cohorts.configs[p.config].n):
            if a.cohorts.configs[p.config].held[i] != HELD_NOTHING:
                values_free(a.end_values, a.n_end_values, <uint64_t *>(candidate_at(a, p, i) + 1))
    if a.n_end_values and p.grouped:
        for i in range(p.cold.n_groups):
            if group_at(a, p, i).candidate != NO_CANDIDATE:
                values_free(a.end_values, a.n_end_values, group_words(group_at(a, p, i)))
    if a.measures.labelled and a.row_texts:
        for k in range(p.record_head, p.record_tail):
            values_free(a.measures.row_values, a.measures.n_row_values, record_values(record_at(a, p, k)))
    p.record_head = 0
    p.record_tail = 0
    a.n_open -= p.tail - p.head
    p.head = 0
    p.tail = 0
    p.cold.counted = 0
    p.cold.n_groups = 0
    p.cold.n_roots = 0
    p.config = CONFIG_EMPTY
    p.held = False


cdef void part_release(Attempts *a, Part *p) noexcept nogil:
    """Gives an empty part back; a large buffer goes with it, so that idle memory stays small."""
    cdef uint32_t number = a.part_of[p.partition] - 1
    part_clear(a, p)
    if p.starts_room > 64:
        free(p.starts)
        p.starts = inline_starts(p)
        p.starts_room = a.inline_starts
    if p.cold.groups_room > 64:
        free(p.cold.groups)
        free(p.cold.roots)
        p.cold.groups = inline_groups(a, p)
        p.cold.roots = p.cold.inline_roots
        p.cold.groups_room = INLINE_GROUPS
    if p.records_room > 64:
        free(p.records)
        p.records = NULL
        p.records_room = 0
    p.cold.generation += 1
    p.armed = False
    a.part_of[p.partition] = 0
    p.cold.next_free = a.free_part
    a.free_part = number + 1


cdef void attempts_free(Attempts *a) noexcept nogil:
    cdef uint32_t i
    cdef Part *p
    for i in range(a.n_parts):
        p = part_at(a, i)
        part_clear(a, p)
        if p.starts != inline_starts(p):
            free(p.starts)
        if p.cold.groups != inline_groups(a, p):
            free(p.cold.groups)
            free(p.cold.roots)
        free(p.records)
    for i in range(<uint32_t>a.n_blocks):
        free(a.memory[i])
    free(a.blocks)
    free(a.memory)
    free(a.part_of)
    free(a.match_numbers)
    free(a.timers)
    free(a.scratch)
    a.blocks = NULL
    a.memory = NULL
    a.n_blocks = 0
    a.n_parts = 0
    a.part_of = NULL
    a.match_numbers = NULL
    a.timers = NULL
    a.scratch = NULL


cdef int attempts_reserve(Attempts *a, int64_t n_partitions) noexcept nogil:
    cdef int64_t room
    cdef void *p
    if n_partitions <= a.partitions_room:
        return STATUS_OK
    room = 2 * n_partitions + 64
    p = realloc(a.part_of, room * sizeof(uint32_t))
    if p == NULL:
        return STATUS_NO_MEMORY
    a.part_of = <uint32_t *>p
    memset(a.part_of + a.partitions_room, 0, (room - a.partitions_room) * sizeof(uint32_t))
    if a.numbered:
        p = realloc(a.match_numbers, room * sizeof(int64_t))
        if p == NULL:
            return STATUS_NO_MEMORY
        a.match_numbers = <int64_t *>p
        memset(a.match_numbers + a.partitions_room, 0, (room - a.partitions_room) * sizeof(int64_t))
    a.partitions_room = room
    return STATUS_OK


# ---------------------------------------------------------------- groups

cdef inline uint32_t root_of(const Attempts *a, const Part *p, uint32_t group) noexcept nogil:
    while group_at(a, p, group).parent != NO_GROUP:
        group = group_at(a, p, group).parent
    return group


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
            free(p.cold.groups)
            free(p.cold.roots)
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


cdef inline void copy_words(uint64_t *to, const uint64_t *source, int64_t n) noexcept nogil:
    """Towards lower addresses, or without overlap."""
    cdef int64_t i
    for i in range(n):
        to[i] = source[i]


cdef int starts_grow(Attempts *a, Part *p) noexcept nogil:
    cdef uint32_t room = 2 * p.starts_room + 2
    cdef uint8_t *memory = <uint8_t *>malloc(room * a.start_stride)
    if memory == NULL:
        return STATUS_NO_MEMORY
    memcpy(memory, p.starts, p.tail * a.start_stride)
    if p.starts != inline_starts(p):
        free(p.starts)
    p.starts = memory
    p.starts_room = room
    return STATUS_OK


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


# ---------------------------------------------------------------- records (labelled mode)

cdef int64_t record_find(const Attempts *a, const Part *p, int64_t sequence) noexcept nogil:
    """The first record at or behind `sequence`."""
    cdef int64_t low = p.record_head, high = p.record_tail, middle
    while low < high:
        middle = (low + high) >> 1
        if record_at(a, p, middle).sequence < sequence:
            low = middle + 1
        else:
            high = middle
    return low


cdef void records_trim(Attempts *a, Part *p) noexcept nogil:
    """Only rows from the oldest attempt on can still be read."""
    cdef int64_t oldest, keep, i
    if p.head == p.tail:
        oldest = INT64_MAX
    else:
        oldest = start_at(a, p, p.head).sequence
    keep = record_find(a, p, oldest)
    if a.row_texts:
        for i in range(p.record_head, keep):
            values_free(a.measures.row_values, a.measures.n_row_values, record_values(record_at(a, p, i)))
    p.record_head = keep
    if p.record_head == p.record_tail:
        p.record_head = 0
        p.record_tail = 0


cdef int record_room(Attempts *a, Part *p) noexcept nogil:
    """Room for one more record behind the newest."""
    cdef int64_t room, n = p.record_tail - p.record_head, stride = a.measures.record_stride
    cdef void *memory
    if p.record_tail == p.records_room:
        # PERF: rows that no attempt reaches any more are let go only here, many at once.
        records_trim(a, p)
        if p.record_tail == 0 and p.records != NULL:
            return STATUS_OK
        n = p.record_tail - p.record_head
        if 2 * n > p.records_room or p.records == NULL:
            room = 2 * p.records_room + 8
            memory = realloc(p.records, room * stride)
            if memory == NULL:
                return STATUS_NO_MEMORY
            p.records = <uint8_t *>memory
            p.records_room = room
        if p.record_head:
            memmove(p.records, p.records + p.record_head * stride, n * stride)
            p.record_head = 0
            p.record_tail = n
    return STATUS_OK


cdef int record_push(Attempts *a, Part *p, int64_t sequence, uint32_t letter) noexcept nogil:
    cdef Record *r
    if p.record_tail == p.records_room and record_room(a, p) != STATUS_OK:
        return STATUS_NO_MEMORY
    r = record_at(a, p, p.record_tail)
    r.sequence = sequence
    r.letter = letter
    p.record_tail += 1
    return values_read(a.measures.row_values, a.measures.n_row_values, a.columns, a.row, record_values(r))


# ---------------------------------------------------------------- ends of attempts

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


cdef inline int64_t next_number(Attempts *a, const Part *p) noexcept nogil:
    if not a.numbered:
        return 0
    a.match_numbers[p.partition] += 1
    return a.match_numbers[p.partition]


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


# ---------------------------------------------------------------- timers

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
        status = expire(a, p, timer.due)
        if status != STATUS_OK:
            return status
        if p.head == p.tail:
            part_release(a, p)
            continue
        status = attempts_arm(a, p)
        if status != STATUS_OK:
            return status
    return STATUS_OK


# ---------------------------------------------------------------- one row

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


# ---------------------------------------------------------------- one row, by cohorts

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


cdef inline int start_append(Attempts *a, Part *p, int64_t sequence, int64_t time) noexcept nogil:
    """The row as the youngest attempt; which cohort it is in is the caller's to say."""
    cdef Start *s
    if p.tail == p.starts_room and start_room(a, p) != STATUS_OK:
        return STATUS_NO_MEMORY
    s = start_at(a, p, p.tail)
    s.sequence = sequence
    s.time = time
    if p.head == p.tail:
        p.front_time = time
    p.tail += 1
    a.n_open += 1
    if a.n_start_values:
        return values_read(a.start_values, a.n_start_values, a.columns, a.row, start_words(s))
    return STATUS_OK


cdef void starts_drop(Attempts *a, Part *p, uint32_t first, uint32_t end) noexcept nogil:
    cdef uint32_t i
    a.n_open -= end - first
    if a.start_texts:
        for i in range(first, end):
            values_free(a.start_values, a.n_start_values, start_words(start_at(a, p, i)))


cdef int candidate_set(Attempts *a, Part *p, uint32_t cohort, int64_t sequence) noexcept nogil:
    cdef int64_t *candidate = candidate_at(a, p, cohort)
    candidate[0] = sequence
    if a.n_end_values:
        return values_read(a.end_values, a.n_end_values, a.columns, a.row, <uint64_t *>(candidate + 1))
    return STATUS_OK


cdef inline void candidate_free(Attempts *a, Part *p, uint32_t cohort) noexcept nogil:
    if a.n_end_values:
        values_free(a.end_values, a.n_end_values, <uint64_t *>(candidate_at(a, p, cohort) + 1))


cdef int emit_now(Attempts *a, Part *p, int64_t first, int64_t time, const uint64_t *start_values,
                  int64_t sequence) noexcept nogil:
    """A match that ends with the row under way."""
    cdef int status
    if a.n_end_values:
        status = values_read(a.end_values, a.n_end_values, a.columns, a.row, a.scratch)
        if status != STATUS_OK:
            return status
    status = emit(a, p, next_number(a, p), first, time, sequence, start_values, a.scratch)
    if a.n_end_values:
        values_free(a.end_values, a.n_end_values, a.scratch)
    return status


cdef int move_general(Attempts *a, Part *p, const Move *move, int64_t sequence, int64_t time) noexcept nogil:
    cdef Config *old = &a.cohorts.configs[p.config]
    cdef Start *s
    cdef uint32_t j, k, w, length, source, at
    cdef uint32_t begin[COHORTS_MAX]
    cdef uint32_t n_old = old.n, kept = move.n
    cdef int status = STATUS_OK
    if kept and move.first[kept - 1] == NEW_START:
        kept -= 1
    if move.emit:
        s = start_at(a, p, p.head)
        status = emit(a, p, next_number(a, p), s.sequence, s.time, candidate_at(a, p, 0)[0],
                      start_words(s) if a.n_start_values else NULL, <uint64_t *>(candidate_at(a, p, 0) + 1))
    # What falls, and the candidates that are replaced.
    j = 0
    for k in range(n_old):
        while j < kept and k > move.last[j]:
            j += 1
        if j == kept or k < move.first[j]:
            starts_drop(a, p, p.begin[k], cohort_end(a, p, k))
            if old.held[k] != HELD_NOTHING:
                candidate_free(a, p, k)
        elif move.held[j] == HELD_NOW and old.held[k] != HELD_NOTHING:
            candidate_free(a, p, k)
    # What stays moves together; the attempts in front go by moving the head.
    w = p.begin[move.first[0]] if kept else p.tail
    p.head = w
    for j in range(kept):
        begin[j] = w
        for k in range(move.first[j], move.last[j] + 1):
            length = cohort_end(a, p, k) - p.begin[k]
            if w != p.begin[k]:
                # PERF: mostly one attempt of three to five words; the call of memmove costs more than the copy.
                copy_words(<uint64_t *>start_at(a, p, w), <uint64_t *>start_at(a, p, p.begin[k]),
                           length * a.start_stride // 8)
            w += length
        if move.held[j] != HELD_NOTHING and move.held[j] != HELD_NOW and move.first[j] != j:
            copy_words(<uint64_t *>candidate_at(a, p, j), <uint64_t *>candidate_at(a, p, move.first[j]),
                       a.candidate_stride // 8)
    p.tail = w
    if p.head < w:
        p.front_time = start_at(a, p, p.head).time
    for j in range(kept):
        p.begin[j] = begin[j]
    p.config = move.next
    for j in range(kept):
        if move.held[j] == HELD_NOW and candidate_set(a, p, j, sequence) != STATUS_OK:
            return STATUS_NO_MEMORY
    if move.push:
        if kept < move.n:
            p.begin[kept] = p.tail
            if move.held[kept] == HELD_NOW and candidate_set(a, p, kept, sequence) != STATUS_OK:
                return STATUS_NO_MEMORY
        if start_append(a, p, sequence, time) != STATUS_OK:
            return STATUS_NO_MEMORY
    return status


cdef inline bint is_single(const Attempts *a, const Part *p, const Move *move) noexcept nogil:
    """Whether each cohort is one attempt before and after a general move, and none finds a candidate in it."""
    cdef uint32_t j
    if p.tail - p.head != a.cohorts.configs[p.config].n:
        return False
    for j in range(move.n):
        if move.first[j] != move.last[j] or move.held[j] == HELD_NOW:
            return False
    return True


cdef inline int move_single(Attempts *a, Part *p, const Move *move, int64_t sequence, int64_t time,
                            int64_t start_stride) noexcept nogil:
    """PERF: a general move of single attempts that keep no values, in a part with room: most of them without WITHIN."""
    cdef uint32_t j, kept = move.n, head = p.head, to
    cdef Start *s
    cdef int status = STATUS_OK
    if kept and move.first[kept - 1] == NEW_START:
        kept -= 1
    if move.emit:
        s = start_at(a, p, head)
        status = emit(a, p, next_number(a, p), s.sequence, s.time, candidate_at(a, p, 0)[0], NULL, NULL)
    a.n_open -= p.tail - head - kept
    to = head + (move.first[0] if kept else 0)
    p.head = to if kept else 0
    for j in range(kept):
        if head + move.first[j] != to:
            copy_words(<uint64_t *>(p.starts + to * start_stride),
                       <uint64_t *>(p.starts + (head + move.first[j]) * start_stride), start_stride // 8)
        if move.held[j] != HELD_NOTHING and move.first[j] != j:
            candidate_at(a, p, j)[0] = candidate_at(a, p, move.first[j])[0]
        p.begin[j] = to
        to += 1
    if not kept:
        to = 0
    elif move.first[0]:
        p.front_time = (<Start *>(p.starts + p.head * start_stride)).time
    p.config = move.next
    p.held = a.cohorts.configs[move.next].any_held
    if move.push:
        s = <Start *>(p.starts + to * start_stride)
        s.sequence = sequence
        s.time = time
        if not kept:
            p.front_time = time
        p.begin[kept] = to
        to += 1
        a.n_open += 1
    p.tail = to
    return status


cdef int expire_cohorts(Attempts *a, Part *p, int64_t time, bint *grouped) noexcept nogil:
    """WITHIN, for attempts without a candidate; `grouped` is set when one with a candidate expires."""
    cdef uint32_t config
    while p.head < p.tail and <uint64_t>time - <uint64_t>p.front_time >= <uint64_t>a.interval:
        if a.cohorts.configs[p.config].held[0] != HELD_NOTHING:
            grouped[0] = True
            break
        if p.head + 1 == cohort_end(a, p, 0):
            config = cohorts_pop(&a.cohorts, &a.dfa, p.config)
            if config == CONFIG_UNKNOWN:
                grouped[0] = True
                break
            starts_drop(a, p, p.head, p.head + 1)
            p.head += 1
            memmove(&p.begin[0], &p.begin[1], (COHORTS_MAX - 1) * sizeof(uint32_t))
            if a.cohorts.configs[p.config].any_held:
                memmove(candidate_at(a, p, 0), candidate_at(a, p, 1), (COHORTS_MAX - 1) * a.candidate_stride)
            p.config = config
        else:
            starts_drop(a, p, p.head, p.head + 1)
            p.head += 1
            p.begin[0] = p.head
        if p.head < p.tail:
            p.front_time = start_at(a, p, p.head).time
    return STATUS_OK


cdef int step_cohorts(Attempts *a, uint32_t partition, int64_t sequence, int64_t time, uint32_t letter,
                      bint *grouped) noexcept nogil:
    """One row by the configuration's move; `grouped` is set when it has to be stepped by groups instead."""
    cdef uint32_t number = a.part_of[partition], config = CONFIG_EMPTY
    cdef Part *p = NULL
    cdef Move *move
    cdef Start *s
    cdef int status = STATUS_OK
    if number:
        p = part_at(a, number - 1)
        if p.grouped:
            grouped[0] = True
            return STATUS_OK
        if a.within and <uint64_t>time - <uint64_t>p.front_time >= <uint64_t>a.interval:
            expire_cohorts(a, p, time, grouped)
            if grouped[0]:
                return STATUS_OK
        config = p.config
    move = &a.cohorts.configs[config].moves[letter]
    if move.kind == MOVE_UNKNOWN:
        status = cohorts_move(&a.cohorts, &a.dfa, config, letter)
        if status != STATUS_OK:
            return status
    if move.kind == MOVE_GROUPS:
        grouped[0] = True
        return STATUS_OK
    if p == NULL:
        if move.kind == MOVE_STAY and move.next == CONFIG_EMPTY:
            return STATUS_OK
        if part_new(a, partition, &p) != STATUS_OK:
            return STATUS_NO_MEMORY
    if a.measures.labelled and (p.head < p.tail or move.push or move.kind == MOVE_SINGLE):
        if record_push(a, p, sequence, letter) != STATUS_OK:
            return STATUS_NO_MEMORY
    if move.kind == MOVE_STAY:
        p.config = move.next
    elif move.kind == MOVE_JOIN:
        p.config = move.next
        return start_append(a, p, sequence, time)
    elif move.kind == MOVE_PUSH:
        p.config = move.next
        p.begin[a.cohorts.configs[move.next].n - 1] = p.tail
        if start_append(a, p, sequence, time) != STATUS_OK:
            return STATUS_NO_MEMORY
        # The starts may have moved to make room; the last cohort is the youngest alone.
        p.begin[a.cohorts.configs[move.next].n - 1] = p.tail - 1
    elif move.kind == MOVE_WIN:
        s = start_at(a, p, p.head)
        status = emit_now(a, p, s.sequence, s.time, start_words(s) if a.n_start_values else NULL, sequence)
        # PERF: an empty part is kept until the next sweep; most partitions go on soon.
        starts_drop(a, p, p.head, p.tail)
        for number in range(a.cohorts.configs[config].n):
            if a.cohorts.configs[config].held[number] != HELD_NOTHING:
                candidate_free(a, p, number)
        p.head = 0
        p.tail = 0
        p.front_time = time
        p.config = CONFIG_EMPTY
        p.held = False
        return status
    elif move.kind == MOVE_FRONT:
        starts_drop(a, p, p.head + 1, p.tail)
        p.tail = p.head + 1
        for number in range(a.cohorts.configs[config].n):
            if a.cohorts.configs[config].held[number] != HELD_NOTHING:
                candidate_free(a, p, number)
        p.begin[0] = p.head
        p.config = move.next
        if candidate_set(a, p, 0, sequence) != STATUS_OK:
            return STATUS_NO_MEMORY
    elif move.kind == MOVE_RESTART:
        starts_drop(a, p, p.head, p.tail)
        for number in range(a.cohorts.configs[config].n):
            if a.cohorts.configs[config].held[number] != HELD_NOTHING:
                candidate_free(a, p, number)
        p.head = 0
        p.tail = 0
        p.begin[0] = 0
        p.config = move.next
        if start_append(a, p, sequence, time) != STATUS_OK:
            return STATUS_NO_MEMORY
    elif move.kind == MOVE_SINGLE:
        if a.n_start_values:
            status = values_read(a.start_values, a.n_start_values, a.columns, a.row, a.scratch + 1 + a.n_end_values)
            if status != STATUS_OK:
                return status
        status = emit_now(a, p, sequence, time, a.scratch + 1 + a.n_end_values, sequence)
        values_free(a.start_values, a.n_start_values, a.scratch + 1 + a.n_end_values)
        part_release(a, p)
        return status
    else:
        status = move_general(a, p, move, sequence, time)
        if status != STATUS_OK:
            return status
    if p.config == CONFIG_EMPTY:
        p.head = 0
        p.tail = 0
        p.held = False
        p.front_time = time
        return STATUS_OK
    p.held = a.cohorts.configs[p.config].any_held
    if a.within and p.held and not p.armed:
        return attempts_arm(a, p)
    return STATUS_OK


# ---------------------------------------------------------------- one row, by groups

cdef int step_groups(Attempts *a, uint32_t partition, int64_t sequence, int64_t time, uint32_t letter) noexcept nogil:
    cdef uint32_t number = a.part_of[partition], code, resolved = 0
    cdef bint bare_merged = False
    cdef Part *p = NULL
    cdef Start *front
    cdef Group *where = NULL
    cdef bint starts
    cdef int status
    code = dfa_next(&a.dfa, a.dfa.start, letter) if a.dfa.start != DEAD else 0
    if code == CODE_NO_MEMORY:
        return STATUS_NO_MEMORY
    starts = code != 0 or a.dfa.start_accept
    if number == 0:
        if not starts:
            return STATUS_OK
        if part_new(a, partition, &p) != STATUS_OK:
            return STATUS_NO_MEMORY
    else:
        p = part_at(a, number - 1)
    if not p.grouped:
        status = part_group(a, p)
        if status != STATUS_OK:
            return status
    if a.within and number:
        status = expire(a, p, time)
        if status != STATUS_OK:
            return status
    if a.measures.labelled:
        if starts or p.head < p.tail:
            if record_push(a, p, sequence, letter) != STATUS_OK:
                return STATUS_NO_MEMORY
    if p.cold.n_roots:
        status = groups_step(a, p, sequence, letter, &resolved, &bare_merged)
        if status != STATUS_OK:
            return status
        if not a.overlapping:
            # The oldest attempt has a match up to this row: whatever lies inside can never be reported.
            front = start_at(a, p, p.head)
            if candidate_of(a, p, front, &where) == sequence:
                starts = False
                while p.tail > p.head + 1:
                    p.tail -= 1
                    a.n_open -= 1
                    start_free(a, p, start_at(a, p, p.tail))
            elif bare_merged and not a.within and not a.dfa.start_accept:
                thin(a, p)
    if starts:
        status = start_new(a, p, sequence, time, code, &resolved)
        if status != STATUS_OK:
            return status
    if a.overlapping and a.numbered:
        status = end_numbered(a, p)
        if status != STATUS_OK:
            return status
        if p.head == p.tail:
            part_release(a, p)
            return STATUS_OK
    elif resolved or p.head == p.tail:
        status = end_anywhere(a, p, resolved) if a.overlapping else end_resolved(a, p)
        if status != STATUS_OK:
            return status
        if p.head == p.tail:
            part_release(a, p)
            return STATUS_OK
    if p.held and not p.armed:
        return attempts_arm(a, p)
    return STATUS_OK


cdef int step_any(Attempts *a, uint32_t partition, int64_t sequence, int64_t time, uint32_t letter) noexcept nogil:
    """One row, whatever it needs."""
    cdef bint grouped = not a.cohorts.on
    cdef int status
    if a.within and a.n_timers and a.timers[0].due <= time:
        status = attempts_advance(a, time)
        if status != STATUS_OK:
            return status
    if not grouped:
        status = step_cohorts(a, partition, sequence, time, letter, &grouped)
        if status != STATUS_OK:
            return status
    if grouped:
        return step_groups(a, partition, sequence, time, letter)
    return STATUS_OK


cdef int attempts_run(Attempts *a, const Column *columns, const int32_t *rows, const uint8_t *narrow,
                      const uint32_t *letters, const uint32_t *partitions, const Column *time_column, int64_t start,
                      int64_t base_sequence, int64_t n) noexcept nogil:
    """PERF: the loop takes the moves that only change a number or append an attempt; the fields it needs are in local
    variables, because every store through a pointer would make the compiler read them again. All else is step_any.
    """
    cdef const uint32_t *part_of = a.part_of
    cdef const uint32_t *codes = a.cohorts.codes
    cdef const int64_t *times = NULL
    cdef uint8_t **blocks = a.blocks
    cdef int64_t part_stride = a.part_stride, start_stride = a.start_stride, i, time = 0, row
    cdef uint64_t interval = <uint64_t>a.interval
    cdef uint32_t stride = a.cohorts.stride, number, letter, code, kind, pushes
    cdef int64_t record_stride = a.measures.record_stride
    cdef int n_row_values = a.measures.n_row_values, v
    cdef const ValueColumn *row_values = a.measures.row_values
    # Kept values must be plain words for the quick moves; starts and candidates of a labelled pattern keep none.
    cdef bint labelled = a.measures.labelled
    cdef bint quick = a.cohorts.on and a.n_start_values == 0 and (a.n_end_values == 0 or not labelled)
    cdef bint within = a.within
    cdef bint values_free_moves = quick and not within and a.n_end_values == 0
    cdef Part *p
    cdef Start *s
    cdef Move *move
    cdef Record *r
    cdef uint64_t *words
    cdef int status
    a.columns = columns
    if within and time_column.kind == KIND_I64:
        times = <const int64_t *>time_column.values
    for v in range(n_row_values):
        quick = quick and row_values[v].native != NULL
    for i in range(n):
        row = rows[i]
        if i + 8 < n:
            # The partition's lines are asked for some rows ahead.
            number = part_of[partitions[i + 8]]
            if number:
                p = <Part *>(blocks[(number - 1) // PARTS_PER_BLOCK] + ((number - 1) % PARTS_PER_BLOCK) * part_stride)
                prefetch(p)
                prefetch(<uint8_t *>p + 64)
        if labelled and i + 4 < n:
            number = part_of[partitions[i + 4]]
            if number:
                p = <Part *>(blocks[(number - 1) // PARTS_PER_BLOCK] + ((number - 1) % PARTS_PER_BLOCK) * part_stride)
                prefetch(p.records + p.record_tail * record_stride)
                prefetch(p.cold)
        letter = narrow[row - start] if narrow != NULL else letters[row - start]
        if within:
            time = times[row] if times != NULL else column_time(time_column, row)
        if quick and a.n_timers == 0:
            number = part_of[partitions[i]]
            if number == 0:
                code = codes[letter]
                if code >> 24 == MOVE_STAY:
                    continue        # nothing is open, and the row opens nothing
            else:
                p = <Part *>(blocks[(number - 1) // PARTS_PER_BLOCK] + ((number - 1) % PARTS_PER_BLOCK) * part_stride)
                if not p.grouped and (not within or <uint64_t>time - <uint64_t>p.front_time < interval):
                    code = codes[p.config * stride + letter]
                    kind = code >> 24
                    if kind - 1 < <uint32_t>MOVE_PUSH and not labelled and p.tail < p.starts_room:
                        # PERF: STAY, JOIN and PUSH alike, without a branch that the data would make unforeseeable: the
                        # row is written behind the youngest attempt and counts only if it is one.
                        pushes = kind != MOVE_STAY
                        s = <Start *>(p.starts + p.tail * start_stride)
                        s.sequence = base_sequence + row
                        s.time = time
                        p.begin[((code >> 16) & 0xFF) - 1 if kind == MOVE_PUSH else COHORTS_MAX] = p.tail
                        p.front_time = time if p.head == p.tail else p.front_time
                        p.tail += pushes
                        a.n_open += pushes
                        p.config = code & 0xFFFF
                        continue
                    if kind == MOVE_STAY and not labelled:
                        p.config = code & 0xFFFF
                        continue
                    if kind == MOVE_GENERAL and values_free_moves and p.tail < p.starts_room and \
                            (not labelled or p.record_tail < p.records_room):
                        move = &a.cohorts.configs[p.config].moves[letter]
                        if is_single(a, p, move):
                            if labelled:
                                r = <Record *>(p.records + p.record_tail * record_stride)
                                p.record_tail += 1
                                r.sequence = base_sequence + row
                                r.letter = letter
                                words = record_values(r)
                                words[0] = 0
                                for v in range(n_row_values):
                                    words[1 + v] = row_values[v].native[row]
                            a.row = row
                            status = move_single(a, p, move, base_sequence + row, time, start_stride)
                            if status != STATUS_OK:
                                return status
                            continue
                    if ((kind == MOVE_STAY or kind == MOVE_JOIN or kind == MOVE_PUSH or kind == MOVE_RESTART
                         or (kind == MOVE_FRONT and a.n_end_values == 0 and not within))
                            and p.tail < p.starts_room
                            and (not labelled or p.record_tail < p.records_room)):
                        if labelled:
                            if kind == MOVE_STAY and p.head == p.tail:
                                continue
                            if kind == MOVE_RESTART:
                                p.record_head = 0
                                p.record_tail = 0
                            r = <Record *>(p.records + p.record_tail * record_stride)
                            p.record_tail += 1
                            r.sequence = base_sequence + row
                            r.letter = letter
                            words = record_values(r)
                            words[0] = 0
                            for v in range(n_row_values):
                                words[1 + v] = row_values[v].native[row]
                        p.config = code & 0xFFFF
                        if kind == MOVE_STAY:
                            continue
                        if kind == MOVE_FRONT:
                            a.n_open -= p.tail - p.head - 1
                            p.tail = p.head + 1
                            p.begin[0] = p.head
                            p.held = True
                            candidate_at(a, p, 0)[0] = base_sequence + row
                            continue
                        if kind == MOVE_RESTART:
                            a.n_open -= p.tail - p.head
                            p.head = 0
                            p.tail = 0
                            p.held = False
                        s = <Start *>(p.starts + p.tail * start_stride)
                        s.sequence = base_sequence + row
                        s.time = time
                        if p.head == p.tail:
                            p.front_time = time
                        if kind != MOVE_JOIN:
                            p.begin[((code >> 16) & 0xFF) - 1] = p.tail
                        p.tail += 1
                        a.n_open += 1
                        continue
        a.row = row
        status = step_any(a, partitions[i], base_sequence + row, time, letter)
        if status != STATUS_OK:
            return status
        blocks = a.blocks
        codes = a.cohorts.codes
    return STATUS_OK


cdef int attempts_finish(Attempts *a) noexcept nogil:
    """End of input: every open attempt ends, in the order of the start rows."""
    cdef Timer timer
    cdef uint32_t i
    cdef Part *p
    cdef int status = attempts_group(a)
    if status != STATUS_OK:
        return status
    a.n_timers = 0
    for i in range(a.n_parts):
        p = part_at(a, i)
        if p.head == p.tail:
            continue
        timer.due = start_at(a, p, p.head).sequence
        timer.sequence = timer.due
        timer.part = i
        timer.generation = p.cold.generation
        if timer_push(a, &timer) != STATUS_OK:
            return STATUS_NO_MEMORY
    while a.n_timers:
        timer = a.timers[0]
        timer_pop(a)
        p = part_at(a, timer.part)
        status = end_front(a, p)
        if status != STATUS_OK:
            return status
        if p.head == p.tail:
            part_release(a, p)
            continue
        timer.due = start_at(a, p, p.head).sequence
        timer.sequence = timer.due
        if timer_push(a, &timer) != STATUS_OK:
            return STATUS_NO_MEMORY
    return STATUS_OK


cdef int sweep(Attempts *a, int64_t count) noexcept nogil:
    """Looks at `count` parts in turn: expired attempts leave, empty parts are given back."""
    cdef Part *p
    cdef bint grouped = False
    cdef int status
    if count > a.n_parts:
        count = a.n_parts
    while count > 0:
        count -= 1
        a.swept = a.swept + 1 if a.swept + 1 < a.n_parts else 0
        p = part_at(a, a.swept)
        if a.part_of[p.partition] != a.swept + 1:
            continue                # free
        if a.within and not p.held and p.head < p.tail:
            # What has no candidate can yield nothing, so nothing is reported here.
            if not p.grouped:
                status = expire_cohorts(a, p, a.now, &grouped)
            else:
                status = expire(a, p, a.now)
            if status != STATUS_OK:
                return status
        if p.head == p.tail:
            part_release(a, p)
    return STATUS_OK


cdef int attempts_tidy(Attempts *a, int64_t n_rows) noexcept nogil:
    """Between batches: bounds the memory of idle partitions, and the automaton's cache to the states that are in use."""
    cdef uint8_t *seen
    cdef uint32_t *live
    cdef uint32_t *remap
    cdef uint32_t i, k
    cdef int64_t n = 0
    cdef Part *p
    cdef Group *g
    cdef int status
    status = sweep(a, n_rows // 64 + 4)
    if status != STATUS_OK:
        return status
    # A cache of configurations names states, too: it starts anew, and parts go on by groups.
    # Records name letters, which a sparse automaton numbers anew: those stay until no record is kept.
    if not dfa_full(&a.dfa) or (not a.dfa.dense and a.measures.labelled and a.n_open):
        return STATUS_OK
    status = attempts_group(a)
    if status != STATUS_OK:
        return status
    seen = <uint8_t *>calloc(a.dfa.n_states, 1)
    live = <uint32_t *>malloc(a.dfa.n_states * sizeof(uint32_t))
    remap = <uint32_t *>calloc(a.dfa.n_states, sizeof(uint32_t))
    status = STATUS_OK if seen != NULL and live != NULL and remap != NULL else STATUS_NO_MEMORY
    if status == STATUS_OK:
        for i in range(a.n_parts):
            p = part_at(a, i)
            for k in range(p.cold.n_roots):
                g = group_at(a, p, p.cold.roots[k])
                if not seen[g.state]:
                    seen[g.state] = 1
                    live[n] = g.state
                    n += 1
        status = dfa_shrink(&a.dfa, live, n, remap)
    if status == STATUS_OK and a.cohorts.on:
        cohorts_free(&a.cohorts)
        status = cohorts_init(&a.cohorts, True, a.within, a.dfa.stride)
    if status == STATUS_OK:
        for i in range(a.n_parts):
            p = part_at(a, i)
            for k in range(p.cold.n_roots):
                g = group_at(a, p, p.cold.roots[k])
                g.state = remap[g.state]
    free(seen)
    free(live)
    free(remap)
    return status
