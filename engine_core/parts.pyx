"""The memory of the open attempts: parts (one per partition that has any), their starts and their records.

What        a part is taken when its partition opens an attempt and given back when the sweep finds it empty; its first cache
            line holds what most steps read, and a few starts lie in the part itself.
Records     labelled patterns keep one record per row from the oldest attempt on; rows that nobody reaches any more
            are let go when the buffer is full, many at once.
Invariants  part_of[partition] is the part's number + 1, or 0; a part never moves, so pointers to it stay good.
Cost        a free list and blocks of PARTS_PER_BLOCK parts: no malloc per row.
"""
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

from .cohorts cimport COHORTS_MAX, CONFIG_EMPTY, HELD_NOTHING
from .measure cimport Record, record_values
from .registers cimport TYPE_STR
from .status cimport STATUS_NO_MEMORY, STATUS_OK
from .words cimport values_free, values_read


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
    cdef uint32_t number
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
        a.grown -= p.starts_room * a.start_stride
        free(p.starts)
        p.starts = inline_starts(p)
        p.starts_room = a.inline_starts
    if p.cold.groups_room > 64:
        a.grown -= p.cold.groups_room * (a.group_stride + <int64_t>sizeof(uint32_t))
        free(p.cold.groups)
        free(p.cold.roots)
        p.cold.groups = inline_groups(a, p)
        p.cold.roots = p.cold.inline_roots
        p.cold.groups_room = INLINE_GROUPS
    if p.records_room > 64:
        a.grown -= p.records_room * a.measures.record_stride
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


cdef int starts_grow(Attempts *a, Part *p) noexcept nogil:
    cdef uint32_t room = 2 * p.starts_room + 2
    cdef uint8_t *memory = <uint8_t *>malloc(room * a.start_stride)
    if memory == NULL:
        return STATUS_NO_MEMORY
    memcpy(memory, p.starts, p.tail * a.start_stride)
    if p.starts != inline_starts(p):
        a.grown -= p.starts_room * a.start_stride
        free(p.starts)
    a.grown += room * a.start_stride
    p.starts = memory
    p.starts_room = room
    return STATUS_OK


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
            a.grown += (room - p.records_room) * stride
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
