"""Durations, intervals and points in time: texts and Python values -> whole numbers."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.duration import duration_ns
from tocsin.language.temporal import (
    format_date,
    format_timestamp,
    parse_date,
    parse_interval,
    parse_time,
    parse_timestamp,
)

SECOND = 10**9


@pytest.mark.parametrize(
    ("value", "nanoseconds"),
    [
        ("5m", 300 * SECOND),
        ("30s", 30 * SECOND),
        ("250ms", 250_000_000),
        ("1h30m", 5_400 * SECOND),
        ("2d", 172_800 * SECOND),
        ("1w", 604_800 * SECOND),
        ("7us", 7_000),
        ("7µs", 7_000),
        ("7ns", 7),
        (" 5m ", 300 * SECOND),
        ("-5m", -300 * SECOND),
        ("0s", 0),
        (timedelta(minutes=5, microseconds=1), 300 * SECOND + 1_000),
        (timedelta(days=-1), -86_400 * SECOND),
        (np.timedelta64(5, "m"), 300 * SECOND),
        (np.timedelta64(3, "D"), 259_200 * SECOND),
        (np.timedelta64(1, "W"), 604_800 * SECOND),
        (np.timedelta64(7, "ns"), 7),
    ],
)
def test_a_duration_is_so_many_nanoseconds(value, nanoseconds):
    assert duration_ns(value) == nanoseconds


@pytest.mark.parametrize(
    "value", ["", "5", "m", "5 m", "5min", "1.5h", "5m30", "1mo", "1y", "--5m", "5M", "٥m", "5m" * 200]
)
def test_other_texts_are_refused_with_the_forms_that_are_valid(value):
    with pytest.raises(
        ValueError, match=r'is not a duration: write it as "5m", "30s", "250ms", "1h30m" or "2d"'
    ):
        duration_ns(value)


def test_the_error_names_the_value():
    with pytest.raises(ValueError, match="'5 minutes' is not a duration"):
        duration_ns("5 minutes")
    with pytest.raises(TypeError, match="5 of type int is not a duration"):
        duration_ns(5)
    with pytest.raises(TypeError, match="None of type NoneType is not a duration"):
        duration_ns(None)


def test_lengths_that_are_not_fixed_or_too_long_are_refused():
    with pytest.raises(ValueError, match="NaT is not a duration"):
        duration_ns(np.timedelta64("NaT"))
    with pytest.raises(ValueError, match="in the unit 'M'"):
        duration_ns(np.timedelta64(1, "M"))
    with pytest.raises(ValueError, match="longer than a duration can be"):
        duration_ns("999999w")
    with pytest.raises(ValueError, match="longer than a duration can be"):
        duration_ns(timedelta(days=200_000))


@given(st.timedeltas(timedelta(days=-100_000), timedelta(days=100_000)))
def test_a_timedelta_is_exact(value):
    assert duration_ns(value) == value // timedelta(microseconds=1) * 1_000


@pytest.mark.parametrize(
    ("text", "first", "last", "nanoseconds"),
    [
        ("5", "MINUTE", None, 300 * SECOND),
        ("1.5", "SECOND", None, 1_500_000_000),
        ("0.000000001", "SECOND", None, 1),
        ("-2", "DAY", None, -172_800 * SECOND),
        ("1", "WEEK", None, 604_800 * SECOND),
        ("1 02:03:04", "DAY", "SECOND", 93_784 * SECOND),
        ("1 02:03:04.5", "DAY", "SECOND", 93_784 * SECOND + 500_000_000),
        ("1 02", "DAY", "HOUR", 93_600 * SECOND),
        ("1 02:03", "DAY", "MINUTE", 93_780 * SECOND),
        ("36:10", "HOUR", "MINUTE", 130_200 * SECOND),
        ("02:03:04", "HOUR", "SECOND", 7_384 * SECOND),
        ("90:30", "MINUTE", "SECOND", 5_430 * SECOND),
    ],
)
def test_an_sql_interval_is_so_many_nanoseconds(text, first, last, nanoseconds):
    assert parse_interval(text, first, last) == nanoseconds


@pytest.mark.parametrize(
    ("text", "first", "last", "message"),
    [
        ("x", "MINUTE", None, "'x' is not a number of MINUTES: write INTERVAL '5' MINUTE"),
        ("1:2", "MINUTE", None, "'1:2' is not a number of MINUTES"),
        ("0.0000000001", "SECOND", None, "finer than a nanosecond"),
        ("1 02:03", "DAY", "SECOND", "write it as 'd hh:mm:ss'"),
        ("1 25:00:00", "DAY", "SECOND", "25 HOURS is too many"),
        ("1:60", "HOUR", "MINUTE", "60 MINUTES is too many"),
    ],
)
def test_an_interval_that_does_not_fit_its_fields_is_refused(text, first, last, message):
    with pytest.raises(ValueError, match=message.replace("'", "'")):
        parse_interval(text, first, last)


def test_dates_and_times():
    assert parse_date("1970-01-01") == 0
    assert parse_date("2024-02-29") == 19_782
    assert parse_date("1969-12-31") == -1
    assert parse_time("09:30") == 34_200 * SECOND
    assert parse_time("23:59:59.123456789") == 86_399 * SECOND + 123_456_789
    for wrong in ("2023-02-29", "2024-13-01", "24-01-01", "tomorrow", ""):
        with pytest.raises(ValueError, match="is not a date"):
            parse_date(wrong)
    for wrong in ("24:00", "9", "09:60", "09:30:60"):
        with pytest.raises(ValueError, match="is not a time of day"):
            parse_time(wrong)


def test_timestamps_with_and_without_a_zone():
    noon = 19_723 * 86_400 * SECOND + 43_200 * SECOND
    assert parse_timestamp("2024-01-01") == (19_723 * 86_400 * SECOND, False)
    assert parse_timestamp("2024-01-01 12:00") == (noon, False)
    assert parse_timestamp("2024-01-01T12:00:00.5") == (noon + 500_000_000, False)
    assert parse_timestamp("2024-01-01 12:00:00Z") == (noon, True)
    assert parse_timestamp("2024-01-01 12:00 UTC") == (noon, True)
    assert parse_timestamp("2024-01-01 12:00+02:00") == (noon - 7_200 * SECOND, True)
    assert parse_timestamp("2024-01-01 12:00 -0530") == (noon + 19_800 * SECOND, True)
    assert parse_timestamp("2024-07-01 12:00 Europe/Paris")[1] is True
    for wrong in (
        "2024-01-01 12",
        "2024-01-01 12:00 Mars/Base",
        "2024-01-01 12:00+99:00",
        "now",
        "2024-01-01x",
    ):
        with pytest.raises(ValueError, match=r"is not a timestamp|offset"):
            parse_timestamp(wrong)


def test_the_zone_of_a_region_follows_its_summer_time():
    winter, _ = parse_timestamp("2024-01-01 12:00 Europe/Paris")
    summer, _ = parse_timestamp("2024-07-01 12:00 Europe/Paris")
    assert winter == parse_timestamp("2024-01-01 11:00 UTC")[0]
    assert summer == parse_timestamp("2024-07-01 10:00 UTC")[0]


@given(st.integers(-(10**18), 10**18))
def test_a_timestamp_is_read_as_it_was_written(ns):
    assert parse_timestamp(format_timestamp(ns)) == (ns, False)


def test_a_date_beyond_the_calendar_is_written_as_a_number():
    assert format_date(10**9) == "1970-01-01 + 1000000000 days"
