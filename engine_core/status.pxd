"""Outcome codes, the fault record that a nogil kernel fills, and the one door from a fault to an exception."""
from libc.stdint cimport int32_t, int64_t

cdef enum Status:
    STATUS_OK = 0
    STATUS_NO_MEMORY = 1
    STATUS_SCHEMA = 2          # data that does not fit its schema (SchemaError)
    STATUS_OVERFLOW = 3        # an integer left its range (EvaluationError)
    STATUS_DIVISION = 4        # integer division by zero (EvaluationError)
    STATUS_UNSORTED = 5        # ORDER BY column fell (OrderError)
    STATUS_LIMIT = 6           # a configured limit was reached (LimitError)
    STATUS_CLOSED = 7          # the ring, engine or batch was closed
    STATUS_FULL = 8            # BackpressureError
    STATUS_STATE = 9           # saved state that is not ours or torn (StateError)
    STATUS_NULL_TIME = 10      # null in the column that WITHIN or a watermark needs (OrderError)
    STATUS_TYPE = 11           # unsupported physical type
    STATUS_CAPACITY = 12       # an output passed an Arrow limit (2 GiB of utf8)
    STATUS_TIME_RANGE = 13     # a time beyond what its unit can hold
    STATUS_VALUE = 14          # an expression has no value, for a reason of its own (EvaluationError)
    STATUS_SKIP = 15           # AFTER MATCH SKIP TO a row that is none, or the match's first (EvaluationError)

# Filled on failure only: `row` is the row of the batch (or -1), `item` the condition, measure or column
# number (or -1), `value`/`other` the operands where there are any (their meaning by code: status.pyx),
# `text` a static C string (or NULL).
cdef struct Fault:
    int32_t code
    int32_t item
    int64_t row
    int64_t value
    int64_t other
    const char *text
    int32_t stage           # what the operator was doing, in its own numbers (0: nothing to tell): see Operator.context
    int32_t more            # how many further faults of this kind stand behind this one and are not told by themselves

cdef inline int fault_set(Fault *fault, int code, int64_t row, int item, int64_t value,
                          int64_t other, const char *text) noexcept nogil:
    fault.code = code
    fault.row = row
    fault.item = item
    fault.value = value
    fault.other = other
    fault.text = text
    fault.stage = 0
    fault.more = 0
    return code

# The exception of a fault, ready to raise; `context` says where ("DEFINE b", "stream 'trades'"), "" for none.
cdef object fault_exception(const Fault *fault, str context)
cdef int raise_fault(const Fault *fault, str context) except -1
