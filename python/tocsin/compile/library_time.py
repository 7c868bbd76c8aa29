"""Dates and times in the library; see library_text for the form.

Fields and truncation of a timestamp with a zone are those of its clock. Months are added as in SQL: the day stays
where it can, else it is the month's last. The calendar is computed on numpy's datetime64, whole columns at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tocsin.compile.ir import unit_ns
from tocsin.language.temporal import DAY_NS

Arrays = list[pa.Array]
_Ints = npt.NDArray[np.int64]
MONTHS_MAX = 12 * 300_000  # beyond, no unit of a timestamp has room

_FIELDS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "year": pc.year,
    "quarter": pc.quarter,
    "month": pc.month,
    "week": pc.iso_week,
    "day": pc.day,
    "day_of_week": lambda x: pc.day_of_week(x, count_from_zero=False, week_start=1),
    "day_of_year": pc.day_of_year,
    "year_of_week": pc.iso_year,
    "hour": pc.hour,
    "minute": pc.minute,
    "second": pc.second,
    "millisecond": pc.millisecond,
}


def _field(args: Arrays, type: pa.DataType, name: str) -> pa.Array:
    return _FIELDS[name](args[0])


def _date_trunc(args: Arrays, type: pa.DataType, unit: str) -> pa.Array:
    if pa.types.is_date(type):
        # A date may lie beyond what its unit can hold as a timestamp: all is done in seconds.
        seconds = args[0].cast(pa.timestamp("s"))
        return pc.floor_temporal(seconds, 1, unit=unit, week_starts_monday=True).cast(type)
    return pc.floor_temporal(args[0], 1, unit=unit, week_starts_monday=True)


def _counts(array: pa.Array) -> _Ints:
    """The counts of a temporal array as int64; 0 for NULL."""
    width = pa.int32() if array.type.bit_width == 32 else pa.int64()
    counts = pc.fill_null(array.view(width), 0).to_numpy(zero_copy_only=False)
    return counts.astype(np.int64)


def _from_counts(counts: _Ints, type: pa.DataType, null: npt.NDArray[Any]) -> pa.Array:
    width = np.int32 if type.bit_width == 32 else np.int64
    null = null | (counts.astype(width) != counts)
    return pa.array(counts.astype(width), mask=null).view(type)


def _null(*arrays: pa.Array) -> npt.NDArray[Any]:
    null = np.zeros(len(arrays[0]), bool)
    for array in arrays:
        null |= pc.is_null(array).to_numpy(zero_copy_only=False)
    return null


def _shift(counts: _Ints, months: _Ints, day: int) -> tuple[_Ints, npt.NDArray[Any]]:
    """Counts of which `day` are one day, shifted by months; and where the result is out of range."""
    days, rest = np.divmod(counts, day)
    big = (np.abs(days) > 3_650_000_000) | (np.abs(months) > MONTHS_MAX)
    days, months = np.where(big, 0, days), np.where(big, 0, months)
    month = days.astype("datetime64[D]").astype("datetime64[M]")
    place = days - month.astype("datetime64[D]").astype(np.int64)
    goal = month + months
    first = goal.astype("datetime64[D]").astype(np.int64)
    length = (goal + 1).astype("datetime64[D]").astype(np.int64) - first
    shifted = first + np.minimum(place, length - 1)
    far = np.abs(shifted) > (2**63 - 1) // day - 2
    return np.where(far, 0, shifted) * day + rest, big | far


def _local(array: pa.Array) -> pa.Array:
    return pc.local_timestamp(array) if pa.types.is_timestamp(array.type) and array.type.tz else array


def _in_zone(array: pa.Array, zone: str) -> pa.Array:
    """The instant of a clock's time; the earlier one where it was shown twice, the first one behind a gap."""
    return pc.assume_timezone(array, zone, ambiguous="earliest", nonexistent="latest")


def _add_months(args: Arrays, type: pa.DataType) -> pa.Array:
    """NULL where the result is out of range, too."""
    local = _local(args[0])
    per_day = DAY_NS // (unit_ns(local.type) or 1)
    months = pc.fill_null(args[1], 0).to_numpy(zero_copy_only=False).astype(np.int64)
    counts, far = _shift(_counts(local), months, per_day)
    shifted = _from_counts(counts, local.type, far | _null(*args))
    return _in_zone(shifted, type.tz) if local is not args[0] else shifted


def _months_between(args: Arrays, type: pa.DataType, step: int) -> pa.Array:
    """Whole periods of `step` months: as many as can be added to the first without passing the second."""
    low, high = _counts(args[0]), _counts(args[1])
    per_day = DAY_NS // (unit_ns(args[0].type) or 1)
    month = [
        (c // per_day).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) for c in (low, high)
    ]
    months = month[1] - month[0]
    reached, _ = _shift(low, months, per_day)
    months = months - ((months > 0) & (reached > high)) + ((months < 0) & (reached < high))
    whole = np.sign(months) * (np.abs(months) // step)
    return pa.array(whole, mask=_null(*args))


def _last_day(args: Arrays, type: pa.DataType) -> pa.Array:
    month = _counts(args[0]).astype("datetime64[D]").astype("datetime64[M]")
    days = (month + 1).astype("datetime64[D]").astype(np.int64) - 1
    return _from_counts(days, type, _null(args[0]))


TIMES: dict[str, Callable[..., pa.Array]] = {
    "field": _field,
    "date_trunc": _date_trunc,
    "add_months": _add_months,
    "months_between": _months_between,
    "last_day_of_month": _last_day,
    "local": lambda a, t: _local(a[0]),
    "with_timezone": lambda a, t, zone: _in_zone(a[0], zone),
}
