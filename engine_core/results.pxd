"""Results: finished matches of labelled rows -> rows of leaf values -> batches of matches."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .aggregate cimport Datum
from .arguments cimport ArgumentGroup, LabelledRows
from .batch cimport BatchC
from .builder cimport OutColumn
from .history cimport History
from .keymap cimport KeyMap
from .output cimport Output
from .status cimport Fault

cdef enum LabelledKind:
    FOUND = 0                   # a match of one row or more
    EMPTY = 1                   # an empty match: `first` is the row at which it stands
    UNMATCHED = 2               # no match: the row `first` belongs to none

# One match, as the matcher hands it over; all row numbers are the History's.
cdef struct Labelled:
    int32_t kind
    uint32_t partition
    int64_t number              # MATCH_NUMBER(), from 1
    int64_t length              # rows of the match, those that were not recorded too
    int64_t settled             # for RESULT_SETTLED, RESULT_TURN
    int64_t turn
    int32_t first               # of the whole match
    int32_t last                # = first unless kind is FOUND
    int64_t n
    const int32_t *rows         # the recorded ones, ascending
    const int32_t *positions    # of the automaton, of each of `rows`

cdef enum ResultKind:
    RESULT_FIRST = 0            # value of the offset-th row after the first of `variables`, then `physical` rows on
    RESULT_LAST = 1             # ... before the last
    RESULT_MATCH_NUMBER = 2
    RESULT_LENGTH = 3           # COUNT(*) over the whole match: rows need not be recorded for it
    RESULT_AGGREGATE = 4
    RESULT_LIST = 5             # ARRAY_AGG
    RESULT_KEY = 6              # partition column `column`
    RESULT_ROW = 7              # column of the row that is shown
    RESULT_FIRST_SEQUENCE = 8
    RESULT_LAST_SEQUENCE = 9
    RESULT_MATCH = 10           # a number for each match handed over, NULL for an unmatched row: Output tells matches by it
    RESULT_SETTLED = 11         # which event made it certain, and
    RESULT_TURN = 12            # whose turn it was: see operator.pxd, order of matches

cdef enum Source:               # where a value of a row comes from
    FROM_NONE = 0
    FROM_HISTORY = 1            # column `number` of the History, by row
    FROM_CLASSIFIER = 2         # the names of the variables, by variable
    FROM_GROUP = 3              # result `number` of all groups of arguments, by how many rows of `variables` came before

cdef struct Argument:
    int32_t source
    int32_t number
    int32_t type                # registers.Type

cdef struct ResultLeaf:
    int32_t kind
    int32_t function            # of an aggregate
    int32_t type                # registers.Type of the result
    int32_t column              # of the partition (RESULT_KEY), of the History (RESULT_ROW)
    bint final
    bint whole                  # of all rows of the match, whatever their variable
    int64_t offset
    int64_t physical
    uint64_t variables
    Argument arguments[2]

# One match as the leaves see it.
cdef struct Showing:
    const Labelled *match
    const KeyMap *keys
    LabelledRows labelled
    const int32_t *shown        # ALL ROWS: which of the rows (0 .. n - 1) give an output row
    int64_t n_shown
    int64_t serial
    OutColumn **group_values    # of all groups, one after the other

cdef class Results:
    cdef readonly Output output
    cdef readonly ArgumentGroup groups      # or None
    cdef readonly list columns          # of the input: what it reads from the History
    cdef readonly uint64_t recorded     # variables whose rows must be recorded
    cdef readonly bint every            # all rows must be
    cdef readonly int64_t back          # rows that are read lie at most so many before a recorded one, the first or the last
    cdef readonly int64_t ahead         # ... behind
    cdef readonly bint all_rows
    cdef bint omit_empty
    cdef bint labels_needed
    cdef ResultLeaf *leaves
    cdef int n_leaves
    cdef list leaf_names
    cdef list computed_names
    cdef int32_t *variable_of       # per position of the automaton
    cdef uint8_t *excluded
    cdef OutColumn names            # of the variables
    cdef OutColumn **group_values
    cdef Showing showing
    cdef uint8_t *labels
    cdef int32_t *shown
    cdef int32_t *picked
    cdef int64_t room

    # Appends the rows of one match; after a fault there is nothing of it. Faults have stage STAGE_RESULT, item: the leaf.
    cdef int add(self, const History *history, const KeyMap *keys, const Labelled *match, Fault *fault) noexcept nogil
    # As Output.take: NULL when there is nothing. A fault (stage STAGE_RESULT + 1) takes its match out; call again.
    cdef int take(self, BatchC **out, Fault *fault) noexcept nogil
    # Whether the rows behind the match that its leaves read (NEXT) have come.
    cdef bint ready(self, const History *history, const Labelled *match) noexcept nogil
    cdef int64_t waiting(self) noexcept nogil       # rows that take would give
    cdef str context(self, const Fault *fault)      # which measure a fault is about

    cdef int _collect_values(self) except -1
    cdef int _check_arguments(self, const ResultLeaf *leaf, int i, int n_columns, int n_values) except -1
    cdef int _need(self, const ResultLeaf *leaf, uint64_t all_variables) except -1
    cdef int _found(self, Fault *fault) noexcept nogil
    cdef int _label(self) noexcept nogil
    cdef int _leaf(self, int i, Fault *fault) noexcept nogil
    cdef int _rowless(self, int i) noexcept nogil
    cdef int _ends(self, const ResultLeaf *leaf, OutColumn *out) noexcept nogil
    cdef int _aggregate(self, const ResultLeaf *leaf, OutColumn *out) noexcept nogil
    cdef int _list(self, const ResultLeaf *leaf, OutColumn *out) noexcept nogil
    cdef int _row(self, const ResultLeaf *leaf, OutColumn *out) noexcept nogil
    cdef void _pick(self, const ResultLeaf *leaf, int64_t i, Datum *value) noexcept nogil
    cdef int _blame(self, int status, int leaf, Fault *fault) noexcept nogil
