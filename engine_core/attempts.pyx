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
Two ways    A partition is stepped by cohorts (cohorts: one look-up a row) as long as that can say what happens, else by
            groups (groups); attempts_run takes the cheapest moves in its own loop. The memory is in parts, what happens
            when an attempt is over in ends, the time in timers.
Source      one run for all starts, states merged: CORE (Bucchi et al., VLDB 2022) has the idea for WITHIN; SQL:2016
            semantics: ISO/IEC 19075-5, 4 and 7.
"""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memmove

from .automaton cimport CODE_NO_MEMORY, DEAD, dfa_full, dfa_next, dfa_shrink
from .cohorts cimport (COHORTS_MAX, CONFIG_EMPTY, CONFIG_UNKNOWN, HELD_NOTHING, HELD_NOW, MOVE_FRONT, MOVE_GENERAL,
                       MOVE_GROUPS, MOVE_JOIN, MOVE_PUSH, MOVE_RESTART, MOVE_SINGLE, MOVE_STAY, MOVE_UNKNOWN,
                       MOVE_WIN, NEW_START, Config, Move, cohorts_free, cohorts_init, cohorts_move, cohorts_pop)
from .column cimport KIND_I64, column_time
from .ends cimport emit, end_anywhere, end_front, end_numbered, end_resolved, expire
from .groups cimport attempts_group, candidate_of, groups_step, part_group, start_free, start_new, start_room, thin
from .hash cimport prefetch
from .measure cimport Record, record_values
from .parts cimport (PARTS_PER_BLOCK, Attempts, Group, Part, Start, Timer, candidate_at, cohort_end, copy_words,
                     group_at, next_number, part_at, part_new, part_release, record_push, start_at, start_words)
from .status cimport STATUS_NO_MEMORY, STATUS_OK
from .timers cimport attempts_advance, attempts_arm, timer_pop, timer_push
from .words cimport ValueColumn, values_free, values_read


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
    cdef uint32_t j, k, w, length
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


cdef inline void record_plain(Part *p, int64_t stride, int64_t sequence, uint32_t letter, const ValueColumn *values,
                              int n, int64_t row) noexcept nogil:
    """PERF: a record in a part that has room, of columns that are plain words this batch (all `native`)."""
    cdef Record *r = <Record *>(p.records + p.record_tail * stride)
    cdef uint64_t *words = record_values(r)
    cdef int v
    p.record_tail += 1
    r.sequence = sequence
    r.letter = letter
    words[0] = 0
    for v in range(n):
        words[1 + v] = values[v].native[row]


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
                      const uint32_t *letters, const uint32_t *partitions, const Column *time_column,
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
        letter = narrow[i] if narrow != NULL else letters[i]
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
                                record_plain(p, record_stride, base_sequence + row, letter, row_values, n_row_values, row)
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
                            record_plain(p, record_stride, base_sequence + row, letter, row_values, n_row_values, row)
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
    a.closing = True
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
        a.turn = timer.sequence
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
