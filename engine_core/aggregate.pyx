"""Aggregate functions: what an accumulator that has seen all its rows says.

What        COUNT, SUM, AVG, MIN, MAX, the variances, ANY_VALUE, BOOL_AND / BOOL_OR, MIN_BY / MAX_BY over the rows of a match,
            and over the match so far in a definition. `accumulator_add` (in the .pxd: it is called per row) takes a
            value, `accumulator_value` reads the result; neither owns or allocates anything.
Layout      an Accumulator is 40 bytes that may be copied, saved and compared as they are. A text is held as the number
            of a row of the column it came from; the owner of that column marks and renumbers it.
NULL        is no value, and without values every function but the counts is NULL; MIN_BY and MAX_BY skip rows whose key is
            NULL, and give NULL if the value beside the best key is.
Numbers     whole numbers are summed in 128 bits, so that the order of the rows cannot matter and only a result beyond 64
            bits is a fault; AVG and the variances are doubles. NaN is above every number for MIN and MAX.
            Among equal values the first row's counts.
Cost        2 to 5 ns a value.
Source      variances: Welford, Technometrics 4 (1962); two passes would need the rows twice, and registers have none.
"""
from libc.math cimport sqrt
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from .builder cimport OutColumn
from .registers cimport TYPE_F64, TYPE_STR, TYPE_U64
from .status cimport STATUS_OK, STATUS_OVERFLOW


cdef extern from "wide.hpp" namespace "tocsin" nogil:
    bint wide_to_i64(const WideSum *, int64_t *) noexcept
    bint wide_to_u64(const WideSum *, uint64_t *) noexcept


AGGREGATES = {"count_rows": AGG_COUNT_ROWS, "count": AGG_COUNT, "count_if": AGG_COUNT_IF, "sum": AGG_SUM,
              "sum_real": AGG_SUM_REAL, "avg": AGG_AVG, "min": AGG_MIN, "max": AGG_MAX, "var_pop": AGG_VAR_POP,
              "var_samp": AGG_VAR_SAMP, "stddev_pop": AGG_STDDEV_POP, "stddev_samp": AGG_STDDEV_SAMP,
              "any_value": AGG_ANY_VALUE, "bool_and": AGG_BOOL_AND, "bool_or": AGG_BOOL_OR, "min_by": AGG_MIN_BY,
              "max_by": AGG_MAX_BY}


cdef void variance(const Accumulator *a, int function, Datum *out) noexcept nogil:
    cdef int64_t degrees = a.count
    cdef double squares
    if function == AGG_VAR_SAMP or function == AGG_STDDEV_SAMP:
        degrees -= 1
    if degrees < 1:
        return
    squares = word_f64(a.high) / <double>degrees
    if function == AGG_STDDEV_POP or function == AGG_STDDEV_SAMP:
        squares = sqrt(squares)
    out.valid = True
    out.word = f64_word(squares)


cdef int accumulator_value(const Accumulator *a, int function, int type, const OutColumn *texts, Datum *out) noexcept nogil:
    memset(out, 0, sizeof(Datum))
    out.type = type
    if function <= AGG_COUNT_IF:
        out.valid = True
        out.word = <uint64_t>a.count
        return STATUS_OK
    if a.count == 0 or a.missing:
        return STATUS_OK
    if AGG_VAR_POP <= function <= AGG_STDDEV_SAMP:
        variance(a, function, out)
        return STATUS_OK
    out.valid = True
    if function == AGG_AVG:
        out.word = f64_word(word_f64(a.low) / <double>a.count)
    elif function == AGG_SUM and type == TYPE_U64:
        if not wide_to_u64(<const WideSum *>&a.low, &out.word):
            return STATUS_OVERFLOW
    elif function == AGG_SUM:
        if not wide_to_i64(<const WideSum *>&a.low, <int64_t *>&out.word):
            return STATUS_OVERFLOW
    elif type == TYPE_STR:
        out.row = a.rows[0] - 1
        out.column = texts
    else:
        out.word = a.low
    return STATUS_OK
