"""What leaves a stream by itself: how old events may get, how many bytes they may take, and where they go then.

Age is judged by event time, against the newest event of the stream: a replay of last year's events keeps as many of
them as it did last year, and nothing here asks what time it is. Only a stream without a time column has nothing but
its files: there it is the time since a file was last written. It is an option of this opening of the store and not
kept in it: a program that does not ask for it takes nothing away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from tocsin.duration import duration_ns
from tocsin.errors import SchemaError

Age: TypeAlias = Any  # "30d", a timedelta, a np.timedelta64, or a number

_UNIT_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Retention:
    """Ages in the time column's unit, rounded down; without a time column in nanoseconds.

    keep, keep_bytes: events leave the store's own files when they are older, or the files are more bytes together.
    tier_to: the text of a place (places.py); None: they are gone then.
    tier_keep: and from there when they are older than this.
    """

    keep: int | None = None
    keep_bytes: int | None = None
    tier_to: str | None = None
    tier_keep: int | None = None


def make_retention(
    name: str,
    time: pa.DataType | None,
    keep: Age | None,
    keep_bytes: int | None,
    tier_to: str | None,
    tier_keep: Age | None,
) -> Retention | None:
    """What a user asked for, checked; None: nothing. Raises SchemaError."""
    if keep is None and keep_bytes is None and tier_to is None and tier_keep is None:
        return None
    where = f"stream {name!r}: "
    if keep_bytes is not None and (not is_whole(keep_bytes) or keep_bytes < 0):
        raise SchemaError(f"{where}keep_bytes={keep_bytes!r} must be a whole number of bytes")
    if tier_to is not None and keep is None and keep_bytes is None:
        raise SchemaError(f"{where}tier_to= says where events go; say when with keep= or keep_bytes=")
    if tier_keep is not None and tier_to is None:
        raise SchemaError(f"{where}tier_keep= is of events in Parquet; say where they go with tier_to=")
    ages = [
        None if age is None else _age(age, time, f"{where}{option}={age!r}")
        for option, age in (("keep", keep), ("tier_keep", tier_keep))
    ]
    if ages[0] is not None and ages[1] is not None and ages[1] < ages[0]:
        raise SchemaError(
            f"{where}tier_keep={tier_keep!r} is less than keep={keep!r}; it counts from the event's time on too"
        )
    return Retention(ages[0], keep_bytes, tier_to, ages[1])


def _age(value: Any, time: pa.DataType | None, where: str) -> int:
    if time is not None and pat.is_integer(time):
        if not is_whole(value):
            raise SchemaError(f"{where}: the time column is {time}, give a whole number in its unit")
        length, unit = int(value), 1
    elif is_whole(value) or isinstance(value, (float, np.floating)):
        if not np.isfinite(value):
            raise SchemaError(f"{where} is not a length of time")
        length, unit = round(float(value) * 10**9), _unit_ns(time)
    else:
        try:
            length, unit = duration_ns(value), _unit_ns(time)
        except (TypeError, ValueError) as wrong:
            raise SchemaError(f"{where}: {wrong}; or a number of seconds") from None
    if length <= 0:
        raise SchemaError(f"{where} must be positive")
    return length // unit


def _unit_ns(time: pa.DataType | None) -> int:
    if time is None:
        return 1
    if pat.is_timestamp(time):
        return _UNIT_NS[time.unit]
    return _DAY_NS if time == pa.date32() else _UNIT_NS["ms"]


def is_whole(value: Any) -> bool:
    """Whether it is a whole number; to numpy a timedelta is one too."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64))
