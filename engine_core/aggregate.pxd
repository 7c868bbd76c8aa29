"""Accumulator: an aggregate function half way, as plain data; one value at a time."""
from libc.math cimport isnan, NAN
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from .builder cimport OutColumn
from .column cimport (KIND_BOOL, KIND_F16, KIND_F32, KIND_F64, KIND_I64, KIND_NULL, KIND_U64, bit_get, half_to_double,
                      index_read)
from .registers cimport TYPE_F64, TYPE_STR, TYPE_U64
from .vector cimport Str, compare_sign_str

cdef extern from "wide.hpp" namespace "tocsin" nogil:
    struct WideSum:
        pass
    void wide_add_i64(WideSum *, int64_t) noexcept
    void wide_add_u64(WideSum *, uint64_t) noexcept

cdef enum Function:             # AGGREGATES in aggregate.pyx has their names
    AGG_COUNT_ROWS = 0
    AGG_COUNT = 1
    AGG_COUNT_IF = 2
    AGG_SUM = 3                 # of whole numbers, exact; a result beyond 64 bits is a fault
    AGG_SUM_REAL = 4            # as doubles
    AGG_AVG = 5
    AGG_MIN = 6
    AGG_MAX = 7
    AGG_VAR_POP = 8
    AGG_VAR_SAMP = 9
    AGG_STDDEV_POP = 10
    AGG_STDDEV_SAMP = 11
    AGG_ANY_VALUE = 12          # the first that is not NULL
    AGG_BOOL_AND = 13
    AGG_BOOL_OR = 14
    AGG_MIN_BY = 15             # two arguments: the value, and the key that is compared
    AGG_MAX_BY = 16
    N_FUNCTIONS = 17

# One value: a number, a bool, a time as a word; a text as a row of a column.
cdef struct Datum:
    int32_t type                # registers.Type
    bint valid
    uint64_t word               # int64, uint64, bits of a double, 0 or 1
    int32_t row                 # TYPE_STR: row of `column`; else not read
    const OutColumn *column     # TYPE_STR

# All zeros is the state before the first value. Two that were fed alike have equal bytes, and what can no longer
# matter (how many values a MIN has seen) is not in them, so that equal futures compare equal more often.
cdef struct Accumulator:
    int64_t count               # values so far; of functions that do not divide by it only whether there was one
    uint64_t low                # sum (128 bits with `high`), double sum, mean, the best number, the value of MIN_BY
    uint64_t high               # sum of squares of differences (Welford); the key of MIN_BY
    int32_t rows[2]             # row + 1 of the value, of the key, where they are texts; 0: none
    int64_t missing             # MIN_BY, MAX_BY: the value that belongs to the best key is NULL

# The rows (numbers + 1; 0: none) whose texts the accumulator holds, two of them.
cdef inline int32_t *accumulator_rows(Accumulator *a) noexcept nogil:
    return a.rows

cdef inline void accumulator_mark(const Accumulator *a, uint8_t *marks) noexcept nogil:
    """For history_collect: its rows stay. Only where its texts are columns of the History."""
    if a.rows[0]:
        marks[a.rows[0] - 1] = 1
    if a.rows[1]:
        marks[a.rows[1] - 1] = 1

cdef inline void accumulator_renumber(Accumulator *a, const int32_t *renumbered) noexcept nogil:
    if a.rows[0]:
        a.rows[0] = renumbered[a.rows[0] - 1] + 1
    if a.rows[1]:
        a.rows[1] = renumbered[a.rows[1] - 1] + 1

cdef inline void text_at(const OutColumn *o, int64_t row, Str *text) noexcept nogil:
    text.data = o.values + o.offsets[row]
    text.size = o.offsets[row + 1] - o.offsets[row]

cdef inline bint out_valid(const OutColumn *o, int64_t row) noexcept nogil:
    return o.kind != KIND_NULL and (o.validity == NULL or bit_get(o.validity, row))

cdef inline void datum_read(Datum *d, int type, const OutColumn *o, int64_t row) noexcept nogil:
    """The value of a row; 0 <= row < o.length, and `type` is that of the column's kind."""
    cdef double real
    d.type = type
    d.row = <int32_t>row
    d.column = o
    d.word = 0
    d.valid = out_valid(o, row)
    if not d.valid or type == TYPE_STR:
        return
    if o.kind == KIND_I64 or o.kind == KIND_F64 or o.kind == KIND_U64:
        d.word = (<const uint64_t *>o.values)[row]
    elif o.kind == KIND_F32:
        real = (<const float *>o.values)[row]
        memcpy(&d.word, &real, 8)
    elif o.kind == KIND_F16:
        real = half_to_double((<const unsigned short *>o.values)[row])
        memcpy(&d.word, &real, 8)
    elif o.kind == KIND_BOOL:
        d.word = bit_get(o.values, row)
    else:
        d.word = <uint64_t>index_read(o.kind, o.values, row)

cdef inline double word_f64(uint64_t word) noexcept nogil:
    cdef double real
    memcpy(&real, &word, 8)
    return real

cdef inline uint64_t f64_word(double real) noexcept nogil:
    # One NaN stands for all.
    cdef uint64_t word
    if isnan(real):
        real = NAN
    memcpy(&word, &real, 8)
    return word

cdef inline double datum_f64(const Datum *d) noexcept nogil:
    if d.type == TYPE_F64:
        return word_f64(d.word)
    if d.type == TYPE_U64:
        return <double>d.word
    return <double><int64_t>d.word

cdef inline bint datum_below(const Datum *d, uint64_t word, int32_t held) noexcept nogil:
    """Whether d < what is held (`word`, or the text of row held - 1). NaN is above every number."""
    cdef double x, y
    cdef Str s, t
    if d.type == TYPE_F64:
        x = word_f64(d.word)
        y = word_f64(word)
        return x < y or (isnan(y) and not isnan(x))
    if d.type == TYPE_U64:
        return d.word < word
    if d.type == TYPE_STR:
        text_at(d.column, d.row, &s)
        text_at(d.column, held - 1, &t)
        return compare_sign_str(s, t) < 0
    return <int64_t>d.word < <int64_t>word

cdef inline bint datum_above(const Datum *d, uint64_t word, int32_t held) noexcept nogil:
    cdef double x, y
    cdef Str s, t
    if d.type == TYPE_F64:
        x = word_f64(d.word)
        y = word_f64(word)
        return x > y or (isnan(x) and not isnan(y))
    if d.type == TYPE_U64:
        return d.word > word
    if d.type == TYPE_STR:
        text_at(d.column, d.row, &s)
        text_at(d.column, held - 1, &t)
        return compare_sign_str(s, t) > 0
    return <int64_t>d.word > <int64_t>word

cdef inline void accumulator_hold(Accumulator *a, const Datum *d) noexcept nogil:
    a.count = 1
    if d.type == TYPE_F64:
        a.low = f64_word(word_f64(d.word))
    elif d.type == TYPE_STR:
        a.rows[0] = d.row + 1
    else:
        a.low = d.word

cdef inline void accumulator_add(Accumulator *a, int function, const Datum *value, const Datum *key) noexcept nogil:
    """One row's value; `key` is read by MIN_BY and MAX_BY only. All texts of one argument are of one column."""
    cdef double x, delta, mean
    if function == AGG_COUNT_ROWS:
        a.count += 1
        return
    if function >= AGG_MIN_BY:
        if key.valid and (a.count == 0 or (datum_below(key, a.high, a.rows[1]) if function == AGG_MIN_BY
                                           else datum_above(key, a.high, a.rows[1]))):
            a.count = 1
            a.low = 0
            a.rows[0] = 0
            a.missing = not value.valid
            if value.valid:
                accumulator_hold(a, value)
            if key.type == TYPE_STR:
                a.rows[1] = key.row + 1
            else:
                a.high = f64_word(word_f64(key.word)) if key.type == TYPE_F64 else key.word
        return
    if not value.valid:
        return
    if function == AGG_COUNT:
        a.count += 1
    elif function == AGG_COUNT_IF:
        a.count += value.word != 0
    elif function == AGG_SUM:
        a.count = 1
        if value.type == TYPE_U64:
            wide_add_u64(<WideSum *>&a.low, value.word)
        else:
            wide_add_i64(<WideSum *>&a.low, <int64_t>value.word)
    elif function == AGG_SUM_REAL:
        a.count = 1
        a.low = f64_word(word_f64(a.low) + datum_f64(value))
    elif function == AGG_AVG:
        a.count += 1
        a.low = f64_word(word_f64(a.low) + datum_f64(value))
    elif function == AGG_MIN:
        if a.count == 0 or datum_below(value, a.low, a.rows[0]):
            accumulator_hold(a, value)
    elif function == AGG_MAX:
        if a.count == 0 or datum_above(value, a.low, a.rows[0]):
            accumulator_hold(a, value)
    elif function == AGG_ANY_VALUE:
        if a.count == 0:
            accumulator_hold(a, value)
    elif function == AGG_BOOL_AND:
        a.low = (a.low if a.count else 1) & value.word
        a.count = 1
    elif function == AGG_BOOL_OR:
        a.low |= value.word
        a.count = 1
    else:                       # the variances: Welford's update
        x = datum_f64(value)
        a.count += 1
        mean = word_f64(a.low)
        delta = x - mean
        mean += delta / <double>a.count
        a.low = f64_word(mean)
        a.high = f64_word(word_f64(a.high) + delta * (x - mean))

# The function's result so far, of register type `type`; `texts` is the column of the first argument's texts (or NULL).
# STATUS_OVERFLOW: a sum of whole numbers is beyond 64 bits.
cdef int accumulator_value(const Accumulator *a, int function, int type, const OutColumn *texts, Datum *out) noexcept nogil
