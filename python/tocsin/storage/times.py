"""The time column: its values as int64, the range of a batch, and bounds as users write them.

A stream's time column is a timestamp (any unit, with or without zone), a date, or an integer of up to 64
signed (32 unsigned) bits. Inside the store a time is the column's own integer: units since 1970-01-01 (UTC
where there is a zone), or the number itself.

A bound may be finer than the column. Times are whole units, so both bounds round up: `t >= 10.5` is `t >=
11`, and `t < 10.5` is `t < 11`. A bound without zone for a column with one is read in the column's zone; a
bound with a zone for a column without one is refused, since nobody can know what was meant.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pat

from tocsin.errors import SchemaError

from .frame import NO_TIMES

TimeValue: TypeAlias = dt.datetime | dt.date | np.datetime64 | str | int | pa.Scalar

_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_NUMPY_FS = {  # femtoseconds: numpy's units go below the nanosecond
    "W": 7 * 86400 * 10**15,
    "D": 86400 * 10**15,
    "h": 3600 * 10**15,
    "m": 60 * 10**15,
    "s": 10**15,
    "ms": 10**12,
    "us": 10**9,
    "ns": 10**6,
    "ps": 10**3,
    "fs": 1,
}
_DTYPES = {  # of the types a time column may have
    kind.id: np.dtype(dtype)
    for kind, dtype in [
        (pa.int8(), "i1"),
        (pa.int16(), "<i2"),
        (pa.int32(), "<i4"),
        (pa.int64(), "<i8"),
        (pa.uint8(), "u1"),
        (pa.uint16(), "<u2"),
        (pa.uint32(), "<u4"),
        (pa.timestamp("s"), "<i8"),
        (pa.date32(), "<i4"),
        (pa.date64(), "<i8"),
    ]
}
_DAY_NS = 86400 * 10**9
_EPOCH = dt.datetime(1970, 1, 1)
_FRACTION = re.compile(r"(?<=:\d\d)[.,](\d+)")
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")


def is_time_type(kind: pa.DataType) -> bool:
    """Whether a time column may have this type."""
    return kind.id in _DTYPES


def time_values(column: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_] | None]:
    """(values as int64, validity or None when nothing is null); values at nulls are arbitrary."""
    dtype = _DTYPES[column.type.id]
    buffer = column.buffers()[1]
    if buffer is None:
        return np.zeros(len(column), np.int64), np.zeros(len(column), np.bool_)
    raw = np.frombuffer(buffer, dtype, len(column), column.offset * dtype.itemsize)
    valid = column.is_valid().to_numpy(zero_copy_only=False) if column.null_count else None
    return raw.astype(np.int64, copy=False), valid


def time_range(column: pa.Array) -> tuple[int, int]:
    """(smallest, largest) value, nulls aside; (1, 0) when there is none."""
    values, valid = time_values(column)
    if valid is not None:
        values = values[valid]
    return (int(values.min()), int(values.max())) if len(values) else NO_TIMES


def parse_bound(value: TimeValue, kind: pa.DataType, where: str) -> int:
    """A bound as the column's integer, rounded up. `where` names it in errors ("start", "stop")."""
    if isinstance(value, pa.Scalar):
        # Through the Arrow type's own integer: as_py() would lose nanoseconds.
        if pat.is_timestamp(value.type):
            zone = "UTC" if value.type.tz else None
            return _from_ns(value.cast(pa.int64()).as_py() * _NS[value.type.unit], zone, kind, where, value)
        value = value.as_py()
    if isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_)):
        return int(value)
    if pat.is_integer(kind):
        raise SchemaError(f"{where}={value!r}: the time column is {kind}, give an integer")
    if isinstance(value, np.datetime64):
        return _from_ns(_numpy_ns(value, where), None, kind, where, value)
    if isinstance(value, str):
        return _from_text(value, kind, where)
    if isinstance(value, dt.datetime):
        zone = "UTC" if value.utcoffset() is not None else None
        moment = value.astimezone(dt.UTC).replace(tzinfo=None) if zone else value.replace(tzinfo=None)
        return _from_ns(_ns(moment), zone, kind, where, value)
    if isinstance(value, dt.date):
        return _from_ns(_ns(dt.datetime.combine(value, dt.time())), None, kind, where, value)
    raise SchemaError(
        f"{where}={value!r} is not a time; give a datetime, a np.datetime64, ISO text, "
        f"or an integer in units of {kind}"
    )


def _from_text(text: str, kind: pa.DataType, where: str) -> int:
    fraction = _FRACTION.search(text)
    digits = fraction[1] if fraction else ""
    plain = text[: fraction.start()] + text[fraction.end() :] if fraction else text
    try:
        moment = dt.datetime.fromisoformat(plain)
    except ValueError:
        raise SchemaError(
            f"{where}={text!r} is not a time in ISO 8601, such as '2024-01-31T12:00:00'"
        ) from None
    zone = "UTC" if moment.utcoffset() is not None else None
    moment = moment.astimezone(dt.UTC).replace(tzinfo=None) if zone else moment
    ns = -(-int(digits or "0") * 10**9 // 10 ** len(digits))
    return _from_ns(_ns(moment) + ns, zone, kind, where, text)


def _from_ns(ns: int, zone: str | None, kind: pa.DataType, where: str, value: object) -> int:
    """Nanoseconds since 1970 (of UTC if `zone`, else of a wall clock) in the column's unit, rounded up."""
    column_zone = kind.tz if pat.is_timestamp(kind) else None
    if zone and not column_zone:
        raise SchemaError(
            f"{where}={value!r} has a time zone and the time column ({kind}) has none; give it without"
        )
    if column_zone and not zone:
        ns -= _offset_ns(column_zone, ns)
    unit = _DAY_NS if kind == pa.date32() else _NS["ms"] if kind == pa.date64() else _NS[kind.unit]
    return -(-ns // unit)


def _offset_ns(zone: str, wall_ns: int) -> int:
    """How far the zone is ahead of UTC at this reading of its clock."""
    fixed = _OFFSET.fullmatch(zone)
    if fixed:
        seconds = int(fixed[2]) * 3600 + int(fixed[3]) * 60
        return (seconds if fixed[1] == "+" else -seconds) * 10**9
    if zone.upper() in ("UTC", "Z"):
        return 0
    wall = _EPOCH + dt.timedelta(microseconds=wall_ns // 1000)
    offset = wall.replace(tzinfo=ZoneInfo(zone)).utcoffset()
    return 0 if offset is None else offset // dt.timedelta(microseconds=1) * 1000


def _ns(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // dt.timedelta(microseconds=1) * 1000


def _numpy_ns(value: np.datetime64, where: str) -> int:
    if np.isnat(value):
        raise SchemaError(f"{where}={value!r} is not a time")
    unit, step = np.datetime_data(value.dtype)
    if unit in ("Y", "M"):
        value, unit, step = value.astype("datetime64[D]"), "D", 1
    if unit not in _NUMPY_FS:
        raise SchemaError(f"{where}={value!r}: unit {unit!r} is too fine; use np.datetime64(..., 'ns')")
    return -(-int(value.astype(np.int64)) * step * _NUMPY_FS[unit] // 10**6)
