"""Results: finished matches of labelled rows -> rows of leaf values -> batches of matches."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .aggregate cimport Datum
from .batch cimport BatchC
from .builder cimport OutColumn
from .expression cimport Program
from .history cimport History
from .keymap cimport KeyMap
from .output cimport Output
from .registers cimport Frame, Input
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
    RESULT_MATCH = 10           # a number for each match handed over, NULL for an unmatched row: what Output tells matches by

cdef enum ArgumentKind:         # where a value of a row comes from
    FROM_NONE = 0
    FROM_HISTORY = 1            # column `number` of the History, by row
    FROM_CLASSIFIER = 2         # the names of the variables, by variable
    FROM_PROGRAM = 3            # result `number` of the leaf's group of expressions

cdef struct Argument:
    int32_t source
    int32_t number
    int32_t type                # registers.Type
    int32_t group               # FROM_PROGRAM

cdef struct ResultLeaf:
    int32_t kind
    int32_t function            # of an aggregate
    int32_t type                # registers.Type of the result
    bint final
    int64_t offset
    int64_t physical
    uint64_t variables
    Argument arguments[2]

cdef class ArgumentGroup:       # expressions that are arguments of aggregates over the same variables
    cdef Program program
    cdef Frame frame
    cdef bint framed
    cdef uint64_t variables
    cdef int32_t *sources       # per input: column of the History, or FROM_NAME, FROM_NUMBER
    cdef Input *inputs
    cdef OutColumn *gathered    # per input: this chunk's values
    cdef OutColumn *values      # per result: of all rows of the match that are of `variables`

cdef class Results:
    cdef Output output
    cdef readonly list columns      # the input's columns that it reads from the History
    cdef readonly uint64_t recorded  # variables whose rows must be recorded
    cdef readonly bint every        # all rows must be
    cdef bint all_rows
    cdef bint omit_empty

    # Appends the rows of one match; after a fault there is nothing of it. Faults have stage STAGE_RESULT, item: the leaf.
    cdef int add(self, const History *history, const KeyMap *keys, const Labelled *match, Fault *fault) noexcept nogil
    # As Output.take: NULL when there is nothing. A fault (stage STAGE_RESULT + 1) takes its match out; call again.
    cdef int take(self, BatchC **out, Fault *fault) noexcept nogil
    cdef int64_t waiting(self) noexcept nogil       # rows that take would give
    cdef str context(self, const Fault *fault)      # which measure a fault is about
