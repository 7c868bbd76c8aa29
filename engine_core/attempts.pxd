"""Attempts: the open attempts (start rows) of every partition, and the step that a row makes them take."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .automaton cimport Dfa
from .builder cimport OutColumn
from .cohorts cimport COHORTS_MAX, Cohorts
from .column cimport Column
from .keymap cimport KeyMap
from .measure cimport Measures
from .words cimport ValueColumn
from .status cimport Fault

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
    uint32_t begin[COHORTS_MAX + 1] # by cohorts: the first start of each; the last place is scrap, see attempts_run
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
    uint64_t *scratch

cdef int attempts_init(Attempts *a) noexcept nogil
cdef void attempts_free(Attempts *a) noexcept nogil
# Steps the rows `rows[0..n)` of the batch, with the partition number of each. The letter of row r is narrow[r - start],
# or (more than 8 conditions) letters[r - start]; its time, with WITHIN, times[r] if the column is 64 bits wide.
cdef int attempts_run(Attempts *a, const Column *columns, const int32_t *rows, const uint8_t *narrow,
                      const uint32_t *letters, const uint32_t *partitions, const Column *time_column, int64_t start,
                      int64_t base_sequence, int64_t n) noexcept nogil
# No row with a time below `time` is still to come.
cdef int attempts_advance(Attempts *a, int64_t time) noexcept nogil
cdef int attempts_finish(Attempts *a) noexcept nogil
cdef int attempts_tidy(Attempts *a, int64_t n_rows) noexcept nogil
cdef int attempts_reserve(Attempts *a, int64_t n_partitions) noexcept nogil
# For attempts_state, which puts saved attempts back.
cdef int part_new(Attempts *a, uint32_t partition, Part **out) noexcept nogil
cdef int group_new(Attempts *a, Part *p, uint32_t state, uint32_t *out) noexcept nogil
cdef int start_room(Attempts *a, Part *p) noexcept nogil
cdef int record_room(Attempts *a, Part *p) noexcept nogil
cdef int attempts_arm(Attempts *a, Part *p) noexcept nogil
# Every partition to groups: what is saved and finished knows only those.
cdef int attempts_group(Attempts *a) noexcept nogil
