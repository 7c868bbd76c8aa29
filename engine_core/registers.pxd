"""Registers: the vectors that an expression program computes in, and one instruction's work on a chunk of them."""
from libc.stdint cimport int32_t, int64_t, uint8_t

from .column cimport Column
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

cdef enum Op:
    OP_LOAD = 0             # dst <- inputs[imm]
    OP_CONST = 1            # dst <- constants[imm]
    OP_COMPARE = 2          # dst <- a (sub) b
    OP_ARITHMETIC = 3       # dst <- a (sub) b
    OP_NEGATE = 4
    OP_AND = 5
    OP_OR = 6
    OP_NOT = 7
    OP_IS_NULL = 8
    OP_IS_NOT_NULL = 9
    OP_CAST = 10            # dst <- a as the type of dst
    OP_IN = 11              # dst <- a in sets[imm]
    OP_COLUMN_IN = 12       # dst <- inputs[a] in sets[imm], strings straight from the column
    OP_IF = 13              # dst <- b where a is TRUE, else register imm
    OP_MATH = 14            # dst <- function sub of a
    OP_MATH2 = 15           # dst <- function sub of a and b
    OP_CHECK = 16           # dst <- a; a fault where b is FALSE, constants[imm] says which
    OP_LISTS = 17           # dst <- lists a and b are equal; imm: their numbers are doubles

cdef enum:                  # Instruction.sub of OP_LISTS
    LISTS_EQUAL = 0         # NULL where only an element that is NULL leaves it open
    LISTS_ALIKE = 1         # never NULL: a NULL is like a NULL, a NaN like a NaN

# A list is carried as a text: for each element a tag and, behind it, 8 bytes of a number (or a text's size, and its bytes).
cdef enum ListTag:
    TAG_END = -1            # no element is left
    TAG_NULL = 0
    TAG_WORD = 1
    TAG_TEXT = 2

cdef enum:                  # Instruction.sub of OP_CAST
    CAST_WIDEN = 0          # every value has a counterpart
    CAST_CHECK = 1          # to a signed integer of imm bits; a fault where it does not fit
    CAST_TRY = 2            # NULL where it does not fit

cdef enum:                  # fault codes of rows, in Vec.err
    ERR_OVERFLOW = 1
    ERR_DIVISION = 2
    ERR_RANGE = 3           # a cast
    ERR_CHECK = 4

cdef enum:
    VALUE_BYTES = 16            # room for the widest value (Str) in every register

cdef inline uint8_t *valid_buffer(const Frame *frame, int register) noexcept nogil:
    return <uint8_t *>frame.memory + <int64_t>register * CHUNK * (VALUE_BYTES + 2) + CHUNK * VALUE_BYTES

cdef inline uint8_t *err_buffer(const Frame *frame, int register) noexcept nogil:
    return valid_buffer(frame, register) + CHUNK

cdef inline void *data_buffer(const Frame *frame, int register) noexcept nogil:
    return <uint8_t *>frame.memory + <int64_t>register * CHUNK * (VALUE_BYTES + 2)

cdef void both_valid(Frame *frame, int dst, const Vec *a, const Vec *b, int64_t n) noexcept nogil
cdef void carry_err(Frame *frame, int dst, const Vec *a, const Vec *b, int64_t n) noexcept nogil
cdef void load(Frame *frame, int dst, int type, const Input *source, int64_t start, int64_t n) noexcept nogil
cdef void wide(Frame *frame, int register, int64_t n) noexcept nogil
cdef bint set_has_str(const ValueSet *s, const Str *key) noexcept nogil
cdef void in_set(Frame *frame, int dst, const Vec *a, int type, const ValueSet *s, int64_t n) noexcept nogil
cdef void column_in(Frame *frame, int slot, int dst, const Column *c, const ValueSet *s, int64_t start,
                    int64_t n) noexcept nogil
cdef void compare(Frame *frame, const Instruction *ins, int type_a, int type_b, int64_t n) noexcept nogil
cdef int arithmetic(Frame *frame, const Instruction *ins, int type, int64_t n, bint track) noexcept nogil
cdef int negate(Frame *frame, const Instruction *ins, int type, int64_t n, bint track) noexcept nogil
cdef void logic(Frame *frame, const Instruction *ins, int64_t n) noexcept nogil
cdef int cast(Frame *frame, const Instruction *ins, int source, int target, int64_t n, bint track) noexcept nogil
cdef void choose(Frame *frame, const Instruction *ins, int type, int64_t n) noexcept nogil
cdef int compute(Frame *frame, const Instruction *ins, int type, int64_t n, bint track) noexcept nogil
cdef int check(Frame *frame, const Instruction *ins, int64_t n, bint track) noexcept nogil
cdef void compare_lists(Frame *frame, const Instruction *ins, int64_t n) noexcept nogil
