"""Leaves of MEASURES: what a finished match reads from its rows, and the labels of those rows."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .automaton cimport Dfa
from .builder cimport OutColumn
from .keymap cimport KeyMap
from .words cimport ValueColumn
from .status cimport Fault

cdef enum LeafKind:
    LEAF_START = 0              # value `column` of the first row (kept with the attempt; labelled: its record)
    LEAF_END = 1                # value `column` of the last row (kept with the candidate; labelled: its record)
    LEAF_MATCH_NUMBER = 2
    LEAF_KEY = 3                # partition column `column`
    LEAF_FIRST_SEQUENCE = 4
    LEAF_LAST_SEQUENCE = 5
    LEAF_FIRST = 6              # the rest read the labelled rows: FIRST(v.x, offset)
    LEAF_LAST = 7
    LEAF_COUNT = 8              # rows of the variables where value `column` is not NULL
    LEAF_COUNT_ROWS = 9
    LEAF_SUM = 10
    LEAF_MIN = 11
    LEAF_MAX = 12
    LEAF_CLASSIFIER = 13        # variable of the last row
    LEAF_START_TIME = 14        # the first row's time, which WITHIN keeps anyway
    LEAF_SETTLED = 15           # which event made the match certain, and
    LEAF_TURN = 16              # whose turn it was: see operator.pxd, order of matches

cdef struct Leaf:
    int32_t kind
    int32_t column              # number of the value (or of the partition column)
    int32_t type                # expression.Type of the value
    int32_t out_type            # expression.Type of the result
    int64_t offset
    uint64_t variables          # bit per variable; all ones: every row of the match

# One retained row of a partition: sequence, letter, values. `stride` bytes apart.
cdef struct Record:
    int64_t sequence
    uint32_t letter
    uint32_t unused
    # followed by the values: NULL bits, words

cdef inline uint64_t *record_values(const Record *r) noexcept nogil:
    return <uint64_t *>(<uint8_t *>r + sizeof(Record))

# What one match is, when it is emitted. Empty matches have n_rows = 0 and no values.
cdef struct Found:
    uint32_t partition
    int64_t number
    int64_t first_time
    int64_t first_sequence      # of an empty match: the row where it stands
    int64_t last_sequence       # -1 for an empty match
    int64_t settled             # for LEAF_SETTLED
    int64_t turn                # for LEAF_TURN
    const uint64_t *start_values
    const uint64_t *end_values
    const uint8_t *records      # labelled mode: the match's rows
    int64_t n_records
    bint empty

cdef struct Measures:
    Leaf *leaves
    int32_t n_leaves
    bint labelled               # some leaf reads labels
    ValueColumn *row_values     # labelled: what a record keeps
    int32_t n_row_values
    int64_t record_stride
    const uint8_t **names       # of the variables, for CLASSIFIER
    int64_t *name_sizes
    uint32_t *states            # scratch of the label walk
    uint8_t *labels             # variable of each record
    int64_t scratch_room

cdef int measure_emit(Measures *m, Dfa *d, const KeyMap *keys, const Found *found, OutColumn *out,
                      Fault *fault) noexcept nogil
cdef void measure_undo(const Measures *m, OutColumn *out, int64_t length) noexcept nogil
