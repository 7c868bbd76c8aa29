"""Units of time columns; a moment as people write it -> a whole number in such a unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tocsin_core.status import SchemaError

UNIT_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def unit_ns(kind: pa.DataType) -> int | None:
    """Nanoseconds per unit of a time column; None for integers, which have no unit of their own.

    >>> unit_ns(pa.timestamp("ms")), unit_ns(pa.int64())
    (1000000, None)
    """
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind) or pa.types.is_time(kind):
        return UNIT_NS[kind.unit]
    if pa.types.is_date32(kind):
        return 86_400 * 10**9
    if pa.types.is_date64(kind):
        return 10**6
    return None


def to_unit(value: Any, type: pa.DataType, name: str) -> int:
    """`value` as the integer that a column of `type` holds for it.

    Args:
        value: an int (already in the column's unit), datetime, date, time, timedelta, numpy datetime64 or
            timedelta64, or ISO 8601 text.
        type: of the time column; `name` is its name, for the message.

    Raises:
        SchemaError: the value is no such moment, or does not fit the unit exactly.

    Example:
        >>> to_unit("1970-01-01T00:00:01", pa.timestamp("ms"), "ts")
        1000
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    try:
        if isinstance(value, str):
            scalar = pa.scalar(value, pa.string()).cast(type)
        elif isinstance(value, (np.datetime64, np.timedelta64)):
            scalar = pa.array([value])[0].cast(type)
        else:
            scalar = pa.scalar(value, type)
        whole = scalar.cast(pa.int64()) if not pa.types.is_date32(type) else scalar.cast(pa.int32())
        return int(whole.as_py())
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as cause:
        raise SchemaError(
            f"{value!r} is no moment of column '{name}' ({type}): give an integer in its unit, a datetime or ISO text"
        ) from cause
