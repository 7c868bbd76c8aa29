"""Captures: what a thread's definitions can still read of the rows before, as a block of words; and the definitions'
rests."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from .aggregate cimport N_FUNCTIONS, Accumulator, Datum
from .builder cimport OutColumn
from .expression cimport Program
from .history cimport History
from .registers cimport Frame, Input
from .status cimport Fault
from .trace cimport Trace
from .vector cimport Str

cdef enum Verdict:
    FALSE_ROW = 0
    TRUE_ROW = 1
    NOT_YET = 2                 # a row that the definition reads (NEXT) has not come
    FAULTY_ROW = 3              # the fault record says what

cdef enum KeyState:
    KEY_UNKNOWN = 0             # nobody has asked yet
    KEY_KNOWN = 1
    KEY_NULL = 2                # no row is equal to it, less or greater
    KEY_ANY = 3                 # it has no value (a fault): any row may be one

cdef enum CaptureKind:
    CAPTURE_FIRST = 0           # the first `count` rows of `variables`, oldest first
    CAPTURE_LAST = 1            # the last `count`, newest first
    CAPTURE_AGGREGATE = 2

# A slot of a FIRST or LAST is one word: history row below, variable above; NO_SLOT when there is no such row.
cdef enum:
    NO_SLOT = -1

cdef struct Capture:
    int32_t kind
    int32_t word                # where in the block
    int32_t words               # how many
    int32_t count
    uint64_t variables
    bint overwritten            # a row of `variables` leaves nothing of what was there before
    int32_t function            # CAPTURE_AGGREGATE: aggregate.pxd's number, or FUNCTION_LIST
    int32_t argument            # its arguments: numbers of Operand, or -1
    int32_t by

cdef enum:
    FUNCTION_LIST = N_FUNCTIONS  # ARRAY_AGG; of the trace only: no block of fixed size holds a list

cdef struct Operand:            # an aggregate's argument on one row
    int32_t column              # of the history, LABEL_COLUMN, NUMBER_COLUMN, or -1: result `result` of a program
    int32_t type                # registers.Type
    int32_t result

cdef enum SourceKind:
    SOURCE_ROW = 0              # the row in question, and `physical` rows on
    SOURCE_FIRST = 1
    SOURCE_LAST = 2
    SOURCE_AGGREGATE = 3
    SOURCE_NUMBER = 4           # the match's number

cdef struct Source:             # an input of a rest's program
    int32_t kind
    int32_t capture
    int32_t slot
    int32_t physical
    int32_t column              # of the history; LABEL_COLUMN: the variable's name
    int32_t type                # registers.Type
    bint current                # the row in question counts too

cdef enum:                      # in place of a column of the history
    LABEL_COLUMN = -2           # the variable's name
    NUMBER_COLUMN = -3          # the match's number

# Where a thread stands, for whoever reads what it has captured.
cdef struct Path:
    const uint64_t *registers   # NULL: nothing is captured, the trace is walked instead
    const Trace *trace
    const int32_t *variable     # of a position
    int32_t node                # the last recorded row
    int64_t number              # of the match, should there be one

cdef struct Rest:
    Source *sources
    int32_t n_sources
    int32_t first_input         # into `inputs`
    uint64_t reads              # captures, one bit each


cdef class Definitions:
    cdef void **program         # borrowed Program objects, by rest
    cdef Frame *frames
    cdef Rest *rests
    cdef readonly int n_rests
    cdef readonly int n_keys    # programs behind the rests that give a value to search for (seek)
    cdef Source *sources
    cdef Input *inputs          # by source; each reads the value and the validity of its place below
    cdef Str *values
    cdef uint8_t *valid
    cdef uint8_t *unknown       # by source: UNKNOWN_INPUT where the row has not come
    cdef Capture *captures
    cdef readonly int n_captures
    cdef readonly int n_words   # of a thread's block; 0: nothing is captured
    cdef Operand *operands
    cdef readonly int n_operands
    cdef Program operand_program
    cdef Frame operand_frame
    cdef bint operand_framed
    cdef Input *operand_inputs
    cdef Operand *operand_sources
    cdef Str *operand_values
    cdef uint8_t *operand_valid
    cdef list names
    cdef Str *name              # of the variables
    cdef OutColumn labels       # the same as a column, by variable
    cdef OutColumn pool         # scratch of one question: texts that the operands' program computed
    cdef OutColumn lists        # the same: elements of lists, a list in consecutive rows
    cdef Datum *pooled          # by source: where in these its text is, should it be in one (`column`)
    cdef int32_t *path_rows     # scratch: a trace from its first row on
    cdef int32_t *path_variables
    cdef int64_t path_room
    cdef readonly int back      # how many rows before and behind a row a source may walk to
    cdef readonly int ahead
    cdef readonly bint traced   # the trace is walked: all rows must be recorded, and threads are never merged

    cdef void blank(self, uint64_t *registers) noexcept nogil
    # What a thread's block is after `row` was mapped to `variable`. Status.
    cdef int capture(self, const History *h, uint64_t *registers, int32_t row, int variable, int64_t number,
                     Fault *fault) noexcept nogil
    # Empties the captures that are not in `kept`: nothing can read them any more.
    cdef void forget(self, uint64_t *registers, uint64_t kept) noexcept nogil
    # Whether a rest holds if `row` is mapped to `variable`: a Verdict.
    cdef int holds(self, const History *h, const Path *path, int rest, int32_t row, int variable,
                   Fault *fault) noexcept nogil
    # The value of key `key` for a thread: a KeyState, and the value as seek compares it.
    cdef int key(self, const History *h, const Path *path, int key, uint64_t *value) noexcept nogil
    cdef void mark(self, History *h, uint64_t *registers) noexcept nogil
    cdef void renumber(self, const History *h, uint64_t *registers) noexcept nogil
    # Whether a restored block can be that of a thread that began at row `start` and has come to `cursor` (NO_ROW: nowhere).
    cdef bint check(self, const History *h, const uint64_t *registers, int32_t start, int32_t cursor) noexcept nogil

    cdef _check_source(self, const Source *s, int type, list columns)
    cdef _check_column(self, int column, int type, list columns, int least)
    cdef void _read(self, const History *h, const Operand *o, int32_t row, int variable, int64_t number,
                    Datum *out) noexcept nogil
    cdef _bind_operands(self, object operand_program, list columns)
    cdef bint _is_text(self, int operand) noexcept nogil
    cdef bint _check_aggregate(self, const History *h, const Capture *c, const Accumulator *a, int32_t start,
                               int32_t cursor) noexcept nogil
    cdef int32_t _label(self, int32_t row, int64_t length) noexcept nogil
    cdef int _fill(self, const History *h, const Path *path, const Rest *r, int32_t row, int variable,
                   Fault *fault) noexcept nogil
    cdef bint _of_history(self, int operand) noexcept nogil
    cdef int _push_element(self, const Datum *value, Fault *fault) noexcept nogil
    cdef void _bind_pooled(self, const Rest *r) noexcept nogil
    cdef int _operand(self, const History *h, int operand, int32_t row, int variable, int64_t number, Datum *out,
                      Fault *fault) noexcept nogil
    cdef int _operands(self, const History *h, int32_t row, int variable, int64_t number, Fault *fault) noexcept nogil
    cdef int _walk_trace(self, const Path *path) noexcept nogil
    cdef int _slot(self, const Source *s, const Path *path, int32_t row, int variable, int64_t length, int32_t *found,
                   int32_t *label) noexcept nogil
    cdef int _aggregate(self, const History *h, const Source *s, const Path *path, int32_t row, int variable, int64_t length,
                        Datum *out, Fault *fault) noexcept nogil
