"""Expression programs: the verified, immutable Program and the Frame of buffers that one operator runs it in."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from .column cimport Column
from .status cimport Fault
from .vector cimport Str

cdef enum:
    CHUNK = 1024            # rows per vector: the registers of a usual program stay in the L1/L2 cache

cdef enum Type:             # what a register holds
    TYPE_I64 = 1            # all signed ints, uint8..uint32, date, time, timestamp, duration
    TYPE_U64 = 2
    TYPE_F64 = 3
    TYPE_BOOL = 4           # one byte, 0 or 1
    TYPE_STR = 5

cdef struct Vec:
    void *data              # CHUNK values of the register's type
    uint8_t *valid          # CHUNK bytes, or NULL: every row is valid
    uint8_t *err            # CHUNK fault codes, or NULL: none
    bint scalar             # a constant: data[0] stands for every row (and data is filled with it)
    const int32_t *narrow   # an int32 column as it is, not yet widened into `data`; or NULL

cdef struct Instruction:
    int32_t op
    int32_t sub
    int32_t dst
    int32_t a
    int32_t b
    int32_t imm

cdef struct ValueSet:       # the constants of an IN list, ascending, distinct
    int32_t type
    bint has_null
    int64_t count
    void *values            # int64_t / uint64_t / double / Str

# Where a LOAD takes its rows from: a column of the batch, or a vector that another stage filled (PREV).
cdef struct Input:
    const Column *column    # or NULL
    Vec vec                 # used when column is NULL

cdef struct Frame:
    Vec *registers
    void *memory
    uint8_t **tables        # per IN-on-a-dictionary instruction: 0 / 1 / 2 (null) per dictionary code
    const Column **table_of
    int64_t *table_capacity
    Str *text               # CHUNK: views for string loads inside COLUMN_IN

cdef class Program:
    cdef Instruction *instructions
    cdef readonly int n_instructions
    cdef readonly int n_registers
    cdef readonly int n_inputs
    cdef readonly bint can_fault
    cdef int32_t *types             # of the registers
    cdef int32_t *input_types
    cdef int32_t *results           # registers
    cdef readonly int n_results
    cdef ValueSet *sets
    cdef int n_sets
    cdef int64_t *constants         # bits of the value
    cdef Str *constant_text
    cdef uint8_t *constant_null
    cdef int32_t *constant_types
    cdef int n_constants
    cdef list _keep                 # bytes objects that constant_text points into

    cdef int frame_init(self, Frame *frame) noexcept nogil
    cdef void frame_free(self, Frame *frame) noexcept nogil
    cdef int prepare(self, Frame *frame, const Input *inputs, int64_t n_rows) noexcept nogil
    # Runs rows start .. start+n of the inputs (lag vectors: rows 0 .. n); n <= CHUNK. The results are the registers
    # self.results[...] of the frame. A fault that the rest of a boolean result does not settle is reported.
    cdef int run(self, Frame *frame, const Input *inputs, int64_t start, int64_t n, Fault *fault) noexcept nogil

    cdef int _pass(self, Frame *frame, const Input *inputs, int64_t start, int64_t n, bint track) noexcept nogil
    cdef void _blame(self, Frame *frame, int64_t row, Fault *fault) noexcept nogil
    cdef int _type(self, object number) except -1
    cdef int _register(self, int register) except -1
    cdef int _number(self, int type, object value, int64_t *out) except -1
    cdef int _text(self, object value, Str *out) except -1
    cdef int _constant(self, int i, object pair) except -1
    cdef int _set(self, ValueSet *s, object triple) except -1
    cdef int _verify(self, Instruction *ins, set written) except -1
