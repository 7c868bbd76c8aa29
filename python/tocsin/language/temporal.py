"""Date, time, timestamp and interval texts -> whole numbers of days or nanoseconds.

All are exact: nothing goes through a float, and a fraction finer than a nanosecond is refused, not rounded.
Errors are ValueErrors with a sentence; the parser and the type check add the place.
"""

from __future__ import annotations

import datetime as dt
import re

from tocsin.duration import NANOSECONDS

DAY_NS = NANOSECONDS["d"]
_EPOCH = dt.date(1970, 1, 1).toordinal()
_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})", re.ASCII)
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,18}))?)?", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})?", re.ASCII)
_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]*(?:/[A-Za-z0-9_+\-]+)*", re.ASCII)

# SQL's interval fields, from large to small, and the length of one.
FIELDS = {
    "WEEK": NANOSECONDS["w"],
    "DAY": NANOSECONDS["d"],
    "HOUR": NANOSECONDS["h"],
    "MINUTE": NANOSECONDS["m"],
    "SECOND": NANOSECONDS["s"],
    "MILLISECOND": NANOSECONDS["ms"],
    "MICROSECOND": NANOSECONDS["us"],
    "NANOSECOND": 1,
}
# Those of the other kind of interval, in months.
MONTHS = {"YEAR": 12, "QUARTER": 3, "MONTH": 1}
_NUMBER = re.compile(r"(\d{1,18})(?:\.(\d{1,18}))?", re.ASCII)
_MONTHS_NUMBER = re.compile(r"([+-]?)\s*(\d{1,18})", re.ASCII)
_MONTHS_RANGE = re.compile(r"([+-]?)\s*(\d{1,9})-(\d{1,9})", re.ASCII)
_RANGE_ORDER = ["DAY", "HOUR", "MINUTE", "SECOND"]


def parse_date(text: str) -> int:
    """Days since 1970-01-01 of "YYYY-MM-DD"."""
    found = _DATE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{_short(text)}' is not a date: write it as 2024-03-01")
    year, month, day = (int(g) for g in found.groups())
    try:
        return dt.date(year, month, day).toordinal() - _EPOCH
    except ValueError as wrong:
        raise ValueError(f"'{_short(text)}' is not a date: {wrong}") from None


def parse_time(text: str) -> int:
    """Nanoseconds since midnight of "HH:MM[:SS[.fraction]]"."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{_short(text)}' is not a time of day: write it as 09:30:00 or 09:30:00.25")
    hour, minute, second = (int(g or 0) for g in found.groups()[:3])
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"'{_short(text)}' is not a time of day: it goes from 00:00:00 to 23:59:59")
    return ((hour * 60 + minute) * 60 + second) * 10**9 + _fraction_ns(found.group(4), 10**9, text)


def parse_timestamp(text: str) -> tuple[int, bool]:
    """Nanoseconds since 1970-01-01 of "YYYY-MM-DD[ HH:MM[:SS[.fraction]]][ zone]", and whether it has a zone.

    With a zone (Z, UTC, +02:00, Europe/Paris) the nanoseconds are UTC's. The date and the time may be
    separated by a blank or a T.
    """
    stripped = text.strip()
    day_found = _DATE.match(stripped)
    if day_found is None:
        raise ValueError(
            f"'{_short(text)}' is not a timestamp: write it as 2024-03-01 09:30:00 or with a zone, "
            "2024-03-01 09:30:00 UTC"
        )
    days = parse_date(day_found.group())
    rest = stripped[day_found.end() :]
    since_midnight = 0
    if rest[:1] in ("T", "t", " "):
        time_found = _TIME.match(rest, 1)
        if time_found is not None:
            since_midnight = parse_time(time_found.group())
            rest = rest[time_found.end() :]
    zone = rest.strip()
    local = days * DAY_NS + since_midnight
    if not zone:
        return local, False
    return local - _offset_ns(zone, local, text), True


def _offset_ns(zone: str, local_ns: int, text: str) -> int:
    """How far the zone was ahead of UTC at that local time (the earlier one where a clock was set back)."""
    if zone in ("Z", "z") or zone.upper() == "UTC":
        return 0
    found = _OFFSET.fullmatch(zone)
    if found is not None:
        sign, hours, minutes = found.groups()
        if int(hours) > 18 or int(minutes or 0) > 59:
            raise ValueError(f"'{_short(text)}' has an offset from UTC that no zone has")
        offset = (int(hours) * 60 + int(minutes or 0)) * NANOSECONDS["m"]
        return -offset if sign == "-" else offset
    if _ZONE_NAME.fullmatch(zone):
        from zoneinfo import ZoneInfo

        try:
            named = ZoneInfo(zone)
            seconds = local_ns // 10**9
            local = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)
            shift = local.replace(tzinfo=named).utcoffset()
            if shift is not None:
                return (shift.days * 86_400 + shift.seconds) * 10**9
        except (KeyError, ValueError, OSError, OverflowError):
            pass  # said below, in our words
    raise ValueError(
        f"'{_short(text)}' is not a timestamp: '{_short(zone)}' is not a time zone that is known here"
    )


def parse_interval(text: str, first: str, last: str | None) -> int:
    """Nanoseconds of an SQL interval: `text` in the field `first`, or from `first` to `last`.

    '5' MINUTE, '1.5' SECOND, '1 02:03:04' DAY TO SECOND, '02:03' HOUR TO MINUTE; a sign may lead.
    """
    body = text.strip()
    negative = body.startswith("-")
    if body[:1] in ("-", "+"):
        body = body[1:].lstrip()
    length = _one_field(body, first, text) if last is None else _range(body, first, last, text)
    return -length if negative else length


def parse_months(text: str, first: str, last: str | None) -> int:
    """Months of an SQL interval: `text` in the field `first`, or '1-6' YEAR TO MONTH; a sign may lead."""
    found = _MONTHS_RANGE.fullmatch(text.strip()) if last else _MONTHS_NUMBER.fullmatch(text.strip())
    if found is None:
        form = "INTERVAL '1-6' YEAR TO MONTH" if last else f"INTERVAL '5' {first}"
        raise ValueError(f"'{_short(text)}' is not a whole number of {first}S: write {form}")
    months = int(found.group(2)) * MONTHS[first]
    if last:
        if int(found.group(3)) >= 12:
            raise ValueError(f"'{_short(text)}' is not an interval YEAR TO MONTH: a year has 12 months")
        months += int(found.group(3))
    return -months if found.group(1) == "-" else months


def _one_field(body: str, name: str, text: str) -> int:
    found = _NUMBER.fullmatch(body)
    if found is None:
        raise ValueError(f"'{_short(text)}' is not a number of {name}S: write INTERVAL '5' {name}")
    return int(found.group(1)) * FIELDS[name] + _fraction_ns(found.group(2), FIELDS[name], text)


def _range(body: str, first: str, last: str, text: str) -> int:
    start, stop = _RANGE_ORDER.index(first), _RANGE_ORDER.index(last)
    names = _RANGE_ORDER[start : stop + 1]
    # DAY is set off by a blank, the others by colons; only the last may have a fraction, only of a second.
    form = "".join(
        ("" if i == 0 else " " if names[i - 1] == "DAY" else ":") + r"(\d{1,9})" for i in range(len(names))
    )
    found = re.fullmatch(form + (r"(?:\.(\d{1,18}))?" if last == "SECOND" else ""), body, re.ASCII)
    shape = {"DAY": "d", "HOUR": "hh", "MINUTE": "mm", "SECOND": "ss"}
    if found is None:
        model = "".join(
            ("" if i == 0 else " " if names[i - 1] == "DAY" else ":") + shape[n] for i, n in enumerate(names)
        )
        raise ValueError(f"'{_short(text)}' is not an interval {first} TO {last}: write it as '{model}'")
    length = 0
    for i, name in enumerate(names):
        number = int(found.group(i + 1))
        if i > 0 and number >= {"HOUR": 24, "MINUTE": 60, "SECOND": 60}[name]:
            raise ValueError(
                f"'{_short(text)}' is not an interval {first} TO {last}: {number} {name}S is too many"
            )
        length += number * FIELDS[name]
    if last == "SECOND":
        length += _fraction_ns(found.group(len(names) + 1), 10**9, text)
    return length


def _fraction_ns(digits: str | None, unit_ns: int, text: str) -> int:
    """Nanoseconds of the decimal fraction `digits` of a unit; exact or refused."""
    if not digits:
        return 0
    scale: int = 10 ** len(digits)
    whole, left = divmod(int(digits) * unit_ns, scale)
    if left:
        raise ValueError(f"'{_short(text)}' is finer than a nanosecond")
    return whole


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "…"


def format_timestamp(ns: int, zone: str = "") -> str:
    """The text of a timestamp, as `parse_timestamp` reads it; outside years 1 to 9999 the plain number."""
    days, rest = divmod(ns, DAY_NS)
    return f"{format_date(days)} {format_time(rest)}{zone}"


def format_date(days: int) -> str:
    """The text of a date, as `parse_date` reads it; outside years 1 to 9999 the plain number."""
    try:
        return dt.date.fromordinal(days + _EPOCH).isoformat()
    except (ValueError, OverflowError):
        return f"1970-01-01 + {days} days"


def format_time(ns: int) -> str:
    """The text of a time of day, as `parse_time` reads it."""
    seconds, fraction = divmod(ns, 10**9)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return text + (f".{fraction:09}".rstrip("0") if fraction else "")
