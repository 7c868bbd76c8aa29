"""Status: what may go wrong, and the one door from an outcome code to a Python exception.

Kernels run without the GIL and return a `Status`; on failure they also fill a `Fault` with what a person needs
to find the place. Nothing but `fault_exception` turns one into an exception, so every message is worded here.

    code         exception          value, other                              text
    NO_MEMORY    MemoryError        -                                         what was being made
    SCHEMA       SchemaError        by text                                   the rule that is broken
    OVERFLOW     EvaluationError    the two operands                          the operation, "+"
    DIVISION     EvaluationError    dividend, 0                               "/" or "%"
    UNSORTED     OrderError         this row's value, the one before it       -
    LIMIT        LimitError         reached, limit                            what is limited
    CLOSED       ClosedError        -                                         what is closed
    FULL         BackpressureError  -                                         what is full
    STATE        StateError         -                                         what is wrong with the state
    NULL_TIME    OrderError         -                                         -
    TYPE         SchemaError        -                                         what the type cannot do
    CAPACITY     LimitError         bytes or rows wanted, limit               what is limited
    TIME_RANGE   EvaluationError    the time                                  -
    VALUE        EvaluationError    the value's bits; other: what they are    why there is none; NULL: `context` says it
                                    (0 nothing, 1 int64, 2 uint64, 3 double)

Cost: nothing until a fault; an exception is built once per failed call.
"""
from libc.stdint cimport uint64_t
from libc.string cimport memcpy


class TocsinError(Exception):
    """Base of every error that tocsin raises on purpose.

    Example:
        >>> issubclass(SchemaError, TocsinError)
        True
    """

    __module__ = "tocsin.errors"


class PatternError(TocsinError, ValueError):
    """A pattern, clause or condition that cannot be understood or is not supported; the message shows the place.

    Example:
        >>> issubclass(PatternError, ValueError)
        True
    """

    __module__ = "tocsin.errors"


class SchemaError(TocsinError, ValueError):
    """Data that does not fit the schema it must have, or breaks the Arrow format; nothing of it was taken.

    Example:
        >>> issubclass(SchemaError, ValueError)
        True
    """

    __module__ = "tocsin.errors"


class EvaluationError(TocsinError, ArithmeticError):
    """An expression with no value: an integer overflow, an integer division by zero, a time out of range.

    Example:
        >>> issubclass(EvaluationError, ArithmeticError)
        True
    """

    __module__ = "tocsin.errors"


class OrderError(TocsinError, ValueError):
    """Rows that break the order they were promised in, or have no time where one is needed.

    Example:
        >>> issubclass(OrderError, ValueError)
        True
    """

    __module__ = "tocsin.errors"


class BackpressureError(TocsinError):
    """The ring of a stream is full and its `overflow` is "raise"; the batch was not accepted.

    Example:
        >>> issubclass(BackpressureError, TocsinError)
        True
    """

    __module__ = "tocsin.errors"


class LimitError(TocsinError):
    """A limit was reached: one that was configured (partitions, partial matches, steps), or one of Arrow's.

    Example:
        >>> issubclass(LimitError, TocsinError)
        True
    """

    __module__ = "tocsin.errors"


class StateError(TocsinError, ValueError):
    """Saved state that is torn, of another version, or of another pattern; nothing was restored.

    Example:
        >>> issubclass(StateError, ValueError)
        True
    """

    __module__ = "tocsin.errors"


class StoreError(TocsinError, OSError):
    """A store that cannot be opened, read or written; what was stored before is still there.

    Example:
        >>> issubclass(StoreError, OSError)
        True
    """

    __module__ = "tocsin.errors"


class ClosedError(TocsinError, RuntimeError):
    """Something was used after it had been closed.

    Example:
        >>> issubclass(ClosedError, RuntimeError)
        True
    """

    __module__ = "tocsin.errors"


cdef str fault_text(const Fault *fault, str default):
    return (<bytes>fault.text).decode("utf-8", "replace") if fault.text != NULL else default


cdef str fault_place(const Fault *fault):
    return f" at row {fault.row} of the batch" if fault.row >= 0 else ""


cdef str fault_operand(const Fault *fault):
    cdef double real
    if fault.other == 1:
        return f" ({fault.value})"
    if fault.other == 2:
        return f" ({<uint64_t>fault.value})"
    if fault.other == 3:
        memcpy(&real, &fault.value, 8)
        return f" ({real!r})"
    return ""


cdef object fault_exception(const Fault *fault, str context):
    cdef str place = fault_place(fault)
    cdef str message
    cdef object kind
    if fault.code == STATUS_NO_MEMORY:
        kind, message = MemoryError, f"out of memory: {fault_text(fault, 'a buffer could not grow')}"
    elif fault.code == STATUS_SCHEMA:
        kind, message = SchemaError, f"{fault_text(fault, 'the data does not fit its schema')}{place}"
    elif fault.code == STATUS_OVERFLOW and fault_text(fault, "") == "SUM":
        kind = EvaluationError
        message = (f"the SUM over a match from event {fault.value} to event {fault.other} leaves the range of its 64-bit "
                   "integer; sum a double column instead")
    elif fault.code == STATUS_OVERFLOW:
        kind = EvaluationError
        message = (f"integer overflow in '{fault_text(fault, 'arithmetic')}' of {fault.value} and {fault.other}{place}"
                   "; multiply by 1e0 to compute with doubles where that may happen")
    elif fault.code == STATUS_DIVISION:
        kind = EvaluationError
        message = (f"integer division by zero ({fault.value} {fault_text(fault, '/')} 0){place}; "
                   "guard it, as in `b <> 0 AND a / b > 2`")
    elif fault.code == STATUS_UNSORTED and fault.text != NULL and fault_text(fault, "") in ("NULL", "key"):
        kind = OrderError
        beside_null = fault_text(fault, "") == "NULL"
        what = "a value on the wrong side of a NULL" if beside_null else "it comes before its predecessor"
        message = f"the order falls{place}: {what}; sort by the whole key first, NULLs where ORDER BY says"
    elif fault.code == STATUS_UNSORTED:
        kind = OrderError
        message = f"the order falls{place}: {fault.value} comes after {fault.other}; sort by this column first"
    elif fault.code == STATUS_LIMIT:
        kind = LimitError
        message = f"{fault_text(fault, 'a limit')} reached: {fault.value} of at most {fault.other}{place}"
    elif fault.code == STATUS_CLOSED:
        kind, message = ClosedError, f"{fault_text(fault, 'this object')} is closed"
    elif fault.code == STATUS_FULL:
        kind = BackpressureError
        message = f"{fault_text(fault, 'the ring')} is full; nothing was accepted, push again later"
    elif fault.code == STATUS_STATE:
        kind, message = StateError, f"{fault_text(fault, 'the saved state cannot be read')}; nothing was restored"
    elif fault.code == STATUS_NULL_TIME:
        kind = OrderError
        message = f"{fault_text(fault, 'the time is null')}{place}; every event needs one: fill or drop such rows"
    elif fault.code == STATUS_TYPE:
        kind, message = SchemaError, f"{fault_text(fault, 'this type cannot be read here')}{place}"
    elif fault.code == STATUS_CAPACITY:
        kind = LimitError
        message = f"{fault_text(fault, 'an output column')} would pass what one Arrow batch can hold"
        if fault.other > 0:
            message += f" ({fault.value}, at most {fault.other})"
        message += "; push smaller batches"
    elif fault.code == STATUS_VALUE:
        if fault.text == NULL:
            return EvaluationError(context)
        kind, message = EvaluationError, f"{fault_text(fault, '')}{fault_operand(fault)}{place}"
    elif fault.code == STATUS_TIME_RANGE:
        kind = EvaluationError
        message = f"the time {fault.value} is beyond what its unit can hold{place}"
    elif fault.code == STATUS_SKIP:
        kind = EvaluationError
        message = f"the match that begins at event {fault.value} "
        message += ("begins with the row to skip to, so it would be found again and again" if fault.other
                    else "has no row of that variable to skip to") + "; SKIP PAST LAST ROW always has a row"
    else:
        kind, message = TocsinError, f"unknown outcome {fault.code}: {fault_text(fault, 'no text')}{place}"
    return kind(f"{context}: {message}" if context else message)


cdef int raise_fault(const Fault *fault, str context) except -1:
    raise fault_exception(fault, context)
