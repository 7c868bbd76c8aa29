"""Structures of the open attempts, their inline accessors, and their memory."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .automaton cimport Dfa
from .builder cimport OutColumn
from .cohorts cimport COHORTS_MAX, Cohorts
from .column cimport Column
from .keymap cimport KeyMap
from .measure cimport Measures, Record
from .status cimport Fault
from .words cimport ValueColumn

cdef enum:
    PARTS_PER_BLOCK = 256
    PART_BYTES = 256            # a part with its inline starts, if two of them fit
    INLINE_GROUPS = 2
    NO_GROUP = 0xFFFFFFFF
    GROUP_RESOLVED = 1          # no threads left: the candidate, if any, is the match
    GROUP_BARE = 2              # root: may have an attempt without a candidate
    GROUP_SEEN = 4              # only inside `thin`

cdef enum:
    NO_CANDIDATE = -1

# One open attempt, followed by the kept values of its first row, and (overlapping and numbered) its match number.
cdef struct Start:
    int64_t sequence
    int64_t time
    uint32_t group              # NO_GROUP: already resolved and reported (a hole)
    uint32_t unused

# Attempts that stand in the same state, followed by the kept values of the candidate's last row. A tree node: groups
# that come to the same state hang one under the other, and the root steps for all.
cdef struct Group:
    uint32_t state
    uint32_t parent             # NO_GROUP: a root
    uint32_t references         # starts and groups that point here directly
    uint32_t members            # root: open attempts below
    int64_t candidate           # sequence of the row where the best match so far ends, or NO_CANDIDATE
    int64_t joined              # sequence of the row at which it came under its parent
    uint32_t flags
    uint32_t unused

cdef struct Cold:               # what a step by cohorts does not read
    uint8_t *groups             # group_stride each
    uint32_t *roots
    uint32_t n_groups, groups_room, n_roots
    uint32_t counted            # overlapping and numbered: [head, counted) have their numbers
    uint32_t generation         # of this slot, so that an old timer knows that it is old
    uint32_t next_free
    uint32_t inline_roots[INLINE_GROUPS]
    # followed by INLINE_GROUPS groups, and a candidate per cohort (its row, its values)

cdef struct Part:               # one partition that has open attempts; the fields that a step reads fill one cache line
    uint8_t *starts             # [head, tail) of start_stride each, oldest first
    int64_t front_time          # by cohorts: the time of the oldest
    uint32_t head, tail, starts_room
    uint32_t config             # by cohorts: number of the configuration
    uint32_t begin[COHORTS_MAX + 1]  # by cohorts: the first start of each; the last place is scrap, see attempts_run
    uint8_t armed               # a timer will look at it
    uint8_t held                # some attempt may have a candidate
    uint8_t grouped             # stepped by groups, until it is empty again
    uint8_t unused
    uint32_t partition
    Cold *cold
    uint8_t *records            # labelled mode: [record_head, record_tail), oldest first
    int64_t record_head, record_tail, records_room
    # followed by inline_starts starts

cdef struct Timer:
    int64_t due
    int64_t sequence            # of the partition's oldest attempt: makes the order of equal times definite
    uint32_t part
    uint32_t generation

cdef struct Attempts:
    Dfa dfa
    Cohorts cohorts
    Measures measures
    KeyMap keys
    # the plan
    bint overlapping            # AFTER MATCH SKIP TO NEXT ROW
    bint numbered               # MATCH_NUMBER() is asked, so matches leave in the order of their starts
    bint within
    int64_t interval            # last time - first time must be less
    ValueColumn *start_values
    ValueColumn *end_values
    int32_t n_start_values
    int32_t n_end_values
    int64_t start_stride, group_stride, candidate_stride, part_stride, cold_stride
    int32_t inline_starts
    bint start_texts            # the kept values of starts own memory
    bint row_texts              # those of records
    # per partition number
    uint32_t *part_of           # part number + 1; 0: idle
    int64_t *match_numbers      # only if numbered
    int64_t partitions_room
    # parts
    uint8_t **blocks            # of parts, 64-byte aligned
    uint8_t **memory            # what was allocated for each block: parts, then colds
    int64_t n_blocks, blocks_room
    uint32_t n_parts            # ever made
    uint32_t swept              # where the next sweep for idle parts goes on
    int64_t now                 # time of the last row (WITHIN)
    uint32_t free_part          # number + 1 of the first free part; 0: none
    int64_t n_open              # open attempts, all partitions
    # candidates that WITHIN may make certain: a binary heap by (due, sequence)
    Timer *timers
    int64_t n_timers, timers_room
    # where matches go
    OutColumn *out
    Fault fault                 # first fault of a measure; its match is left out
    # the row that is being stepped
    const Column *columns
    int64_t row
    # which event makes a match certain
    bint ranked                 # a leaf asks
    bint closing                # a window that closes at `due`, or the end of input; else the row that is being stepped
    int64_t due
    int64_t turn                # ... of the attempt that starts there
    int64_t base_sequence       # of the batch
    const Column *times         # of its n_rows rows (WITHIN); none outside of a batch
    int64_t n_rows
    uint64_t *scratch


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

cdef inline uint32_t root_of(const Attempts *a, const Part *p, uint32_t group) noexcept nogil:
    while group_at(a, p, group).parent != NO_GROUP:
        group = group_at(a, p, group).parent
    return group

cdef inline int64_t next_number(Attempts *a, const Part *p) noexcept nogil:
    if not a.numbered:
        return 0
    a.match_numbers[p.partition] += 1
    return a.match_numbers[p.partition]

cdef inline void copy_words(uint64_t *to, const uint64_t *source, int64_t n) noexcept nogil:
    """Towards lower addresses, or without overlap."""
    cdef int64_t i
    for i in range(n):
        to[i] = source[i]


cdef int attempts_init(Attempts *a) noexcept nogil
cdef int part_new(Attempts *a, uint32_t partition, Part **out) noexcept nogil
cdef void part_clear(Attempts *a, Part *p) noexcept nogil
cdef void part_release(Attempts *a, Part *p) noexcept nogil
cdef void attempts_free(Attempts *a) noexcept nogil
cdef int attempts_reserve(Attempts *a, int64_t n_partitions) noexcept nogil
cdef int starts_grow(Attempts *a, Part *p) noexcept nogil
cdef int64_t record_find(const Attempts *a, const Part *p, int64_t sequence) noexcept nogil
cdef void records_trim(Attempts *a, Part *p) noexcept nogil
cdef int record_room(Attempts *a, Part *p) noexcept nogil
cdef int record_push(Attempts *a, Part *p, int64_t sequence, uint32_t letter) noexcept nogil
