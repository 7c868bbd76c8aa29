"""Durations: "5m", "30s", "250ms", "1h30m", timedelta, numpy.timedelta64 -> whole nanoseconds.

The grammar is that of Polars, without its calendar units: a month or a year has no fixed length, and a
duration here is always a fixed length. Units: ns, us (or µs), ms, s, m, h, d, w.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}
_PART = re.compile(r"(\d+)(ns|us|µs|μs|ms|s|m|h|d|w)", re.ASCII)
_WHOLE = re.compile(r"(?:\d+(?:ns|us|µs|μs|ms|s|m|h|d|w))+", re.ASCII)
_INT64_MAX = 2**63 - 1
_VALID = 'write it as "5m", "30s", "250ms", "1h30m" or "2d", or give a timedelta or a numpy.timedelta64'


def duration_ns(value: object) -> int:
    """The length of `value` in nanoseconds.

    `value` is a text such as ``"1h30m"``, a `datetime.timedelta` or a `numpy.timedelta64`. Raises ValueError
    for a text of another form, a calendar unit (months, years), NaT, or a length beyond 292 years; TypeError
    for another type. The sign is kept: a caller that needs a positive length checks it.

    >>> duration_ns("1h30m")
    5400000000000
    >>> duration_ns("250ms")
    250000000
    """
    if isinstance(value, str):
        text = value.strip()
        negative = text.startswith("-")
        body = text[1:] if negative else text
        if len(body) > 200 or not _WHOLE.fullmatch(body):
            raise ValueError(f"{value[:60]!r} is not a duration: {_VALID}")
        length = sum(int(number) * NANOSECONDS[unit] for number, unit in _PART.findall(body))
        return _checked(-length if negative else length, value)
    if isinstance(value, timedelta):
        length = (value.days * 86_400 + value.seconds) * 1_000_000_000 + value.microseconds * 1_000
        return _checked(
            length + int(getattr(value, "nanoseconds", 0)), value
        )  # pandas' Timedelta has these too
    if is_numpy(value, "timedelta64"):
        return _checked(_numpy_ns(value), value)
    raise TypeError(f"{value!r} of type {type(value).__name__} is not a duration: {_VALID}")


def is_numpy(value: object, name: str) -> bool:
    """Whether `value` is a numpy scalar of that name, without importing numpy."""
    kind = type(value)
    return kind.__module__ == "numpy" and kind.__name__ == name


def _numpy_ns(value: Any) -> int:
    import numpy as np  # the value is numpy's: it is loaded already

    if np.isnat(value):
        raise ValueError(f"NaT is not a duration: {_VALID}")
    unit, step = np.datetime_data(value.dtype)
    steps = int(value.astype(np.int64)) * step
    if unit in ("ns", "us", "ms", "s", "m", "h"):
        return steps * NANOSECONDS[unit]
    if unit in ("D", "W"):
        return steps * NANOSECONDS[unit.lower()]
    raise ValueError(
        f"{value!r} is in the unit {unit!r}, which is not a whole number of nanoseconds: {_VALID}"
    )


def _checked(length: int, value: object) -> int:
    if not -_INT64_MAX <= length <= _INT64_MAX:
        raise ValueError(f"{value!r} is longer than a duration can be (292 years)")
    return length
